"""Lab 1's rooms."""

from museum.lab1 import bim, fgsm, llc, mifgsm, pgd, project, project_l2, rfgsm

ROOMS = [module.room for module in (fgsm, llc, rfgsm, project, bim, mifgsm, pgd, project_l2)]
