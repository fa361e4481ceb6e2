"""Everything for the notebooks rather than the science: running them, coverage of the survey, explorers, JupyterLab."""
