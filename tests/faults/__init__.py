"""The campaign of faults: ``make faults`` kills, damages, floods and starves the package, and counts what survives.

Start reading at :mod:`faults.campaign`, which says what a fault is. The other modules hold one group of faults each.
"""
