"""One run of a scenario: the control process, the model twice, in readable and in compiled form, and cells."""
