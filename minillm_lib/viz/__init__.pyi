from .attention_plots import (
    plot_attention as plot_attention,
    plot_removals as plot_removals,
    plot_shares as plot_shares,
)
from .broken_runs_plot import plot_broken_runs as plot_broken_runs
from .chat_widget import ChatWidget as ChatWidget
from .cleaning_plots import plot_cleaning as plot_cleaning, plot_minhash as plot_minhash
from .comparison_plots import (
    plot_lines as plot_lines,
    plot_losses_by_model as plot_losses_by_model,
    plot_topic_match as plot_topic_match,
)
from .demo_report import write_demo_report as write_demo_report
from .interactive_figure import interactive_figure as interactive_figure
from .lda_report import ReportError as ReportError, write_lda_report as write_lda_report
from .live_plot import LivePlot as LivePlot
from .next_token_plots import plot_next_token as plot_next_token, plot_sampling_rules as plot_sampling_rules
from .own_model_plots import (
    plot_own_model as plot_own_model,
    plot_seeds as plot_seeds,
    plot_sweep as plot_sweep,
)
from .run_report import summarize_runs as summarize_runs, write_run_report as write_run_report
from .run_results import keep_results as keep_results
from .scaling_plots import (
    isoflop_optimum as isoflop_optimum,
    plot_isoflop as plot_isoflop,
    plot_power_law_axes as plot_power_law_axes,
    plot_race as plot_race,
)
from .style import (
    BLUE as BLUE,
    GREEN as GREEN,
    INK as INK,
    ORANGE as ORANGE,
    PALE as PALE,
    PURPLE as PURPLE,
    use_style as use_style,
)
from .topic_plots import (
    plot_convergence as plot_convergence,
    plot_top_terms as plot_top_terms,
    plot_topic_counts as plot_topic_counts,
    plot_topic_shares as plot_topic_shares,
    plot_topic_similarity as plot_topic_similarity,
)
from .training_plan import plot_plan as plot_plan
from .training_plots import (
    plot_gradient_norms as plot_gradient_norms,
    plot_learning_rate as plot_learning_rate,
    plot_losses as plot_losses,
    plot_scaling_law as plot_scaling_law,
    plot_throughput as plot_throughput,
    training_overview as training_overview,
)
