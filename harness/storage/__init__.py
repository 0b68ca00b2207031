"""Keep things on disk: artefacts, Arrow tables, JSON files."""
