"""The report's figures: functions that take values and return a drawing. The stage writes the files."""
