"""Datasets, transforms and samplers of frozen_det; :mod:`.registered` imports those that configs name.

Importing this loads nothing: what opens and draws images is used without the host too.
"""
