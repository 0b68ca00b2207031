"""Turn a suite into cells and the steps that they share. Pure; imports no torch."""
