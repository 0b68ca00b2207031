"""Types of task: their data, training, scores and exports. A plugin may add one."""
