"""What leaves the harness: exported forms, what they answer, and folders to ship."""
