"""Run the steps of a plan on the devices of a machine."""
