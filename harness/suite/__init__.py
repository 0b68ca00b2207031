"""Read the language of suites: TOML to a checked Suite."""
