"""Read suites: from TOML to a checked Suite."""
