"""Types of task: what their data, scores, exports and tables are."""
