"""The report's figures. Each function takes values and returns a drawing; what writes it is the stage."""
