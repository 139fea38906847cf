from .baselines import baselines_of_run as baselines_of_run, count_baselines as count_baselines
from .health.finding import Finding as Finding
from .health.report import RunReport as RunReport, examine_run as examine_run
from .reference import ReferenceBand as ReferenceBand, reference_band as reference_band
from .scaling_law import ScalingLaw as ScalingLaw, fit_scaling_law as fit_scaling_law
