"""Types of task: what their data, training, scores, exports and tables are. A plugin may add one."""
