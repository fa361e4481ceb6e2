"""What belongs to the notebooks and not to the science: running them, coverage of the survey, explorers, JupyterLab."""
