"""Figures of the winners' training, of the tables they reported, and of accuracy by number of votes."""

import plotly.graph_objects as go

from bgbias.metrics import CORRECT, COUNT, TEST, VALIDATION
from bgbias.table import Table
from study.record.analyses import FlowResult
from study.record.selection import Row, Trial
from study.report import analysis
from study.report.drawing import BOTTOM, TOP, color, finished, mark, panels, percents, spaces, winner_text
from study.report.tables import Report
from study.settings import short


def learning_curves(report: Report) -> go.Figure:
    """Draw the learning curves of each method's winner on a variant.

    Validation is a solid line, test a dotted one; a ring marks the epoch of the checkpoint.
    """
    figure, places = panels(report.variants, shared_y=True)
    trials = {trial.trial_id: trial for trial in report.trials}
    for space, own in spaces(report).items():
        for at, row in enumerate(row for row in report.rows if row.space == space):
            place = places[report.variants.index(row.variant)]
            for line in _winner_lines(row, trials[row.trial], own):
                figure.add_trace(line.update(showlegend=at == 0 and line.mode == "lines+markers"), **place)
    figure.update_xaxes(title_text="epoch", title_standoff=5)
    figure.update_yaxes(title_text="accuracy [%]", col=1)
    return figure


def _winner_lines(row: Row, trial: Trial, own: str) -> list[go.Scatter]:
    lines = [
        go.Scatter(
            x=[epoch for epoch, _ in points],
            y=[value for _, value in points],
            mode=mode,
            marker_size=4,
            line={"color": own, "dash": dash, "width": 1.8},
            name=row.space,
            legendgroup=row.space,
            hovertemplate=f"<b>{row.space}</b> {split}, epoch %{{x}}: %{{y:.2f}} %<extra></extra>",
        )
        for split, dash, mode in ((VALIDATION, "solid", "lines+markers"), (TEST, "dot", "lines"))
        if (points := analysis.curve(trial, split, row.variant))
    ]
    ring = go.Scatter(
        x=[row.epoch],
        y=[100 * row.val_accuracy],
        mode="markers",
        marker={"color": own, "size": 11, "symbol": "circle-open", "line": {"width": 2}},
        legendgroup=row.space,
        hovertext=[winner_text(row)],
        hoverinfo="text",
    )
    return [*lines, ring]


def losses(report: Report) -> go.Figure:
    """Lines: every term of the training loss, of each method's winner on the shifted variant."""
    winners = analysis.winners_on(report, report.shifted)
    terms = list(dict.fromkeys(term for trial in winners for term in analysis.loss_terms(trial)))
    figure, places = panels([short(term) for term in terms], shared_y=False)
    named: set[str] = set()
    for term, place in zip(terms, places, strict=True):
        for trial in winners:
            points = [(epoch, m[term]) for epoch, m in enumerate(trial.history, start=1) if term in m]
            if points:
                figure.add_scatter(
                    x=[epoch for epoch, _ in points],
                    y=[value for _, value in points],
                    mode="lines+markers",
                    marker_size=4,
                    line={"color": spaces(report)[trial.space], "width": 1.8},
                    name=trial.space,
                    legendgroup=trial.space,
                    showlegend=trial.space not in named,
                    hovertemplate=f"<b>{trial.space}</b>, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
                    **place,
                )
                named.add(trial.space)
    figure.update_xaxes(title_text="epoch", title_standoff=5)
    figure.update_yaxes(rangemode="tozero", tickformat="~g")
    return figure


def tables(report: Report) -> list[tuple[str, go.Figure]]:
    """A heat map of each table that a winner reported at the epoch of its checkpoint, with a title each."""
    winners = {(row.space, row.trial, row.epoch): row for row in reversed(report.rows)}
    found = []
    for row in reversed(winners.values()):
        for name, table in analysis.tables(report, row).items():
            if name.endswith((f"/{COUNT}", f"/{CORRECT}")):
                continue  # `group_maps` shows their ratio
            found.append((f"{row.space}: {name}, trial {row.trial}, epoch {row.epoch}", heat_map(table)))
    return found


def group_maps(report: Report) -> list[tuple[str, go.Figure]]:
    """Heat maps of `analysis.group_accuracies`."""
    return [(space, heat_map(table)) for space, table in analysis.group_accuracies(report)]


def heat_map(table: Table) -> go.Figure:
    """A table's values, its first row on top."""
    figure = go.Figure(
        go.Heatmap(
            x=list(table.columns),
            y=list(table.rows),
            z=[list(row) for row in table.values],
            texttemplate="%{z:.3g}",
            colorscale="Viridis",
            hovertemplate="%{y}, %{x}: %{z:.4g}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    return finished(figure, height=TOP + BOTTOM + 36 * max(3, len(table.rows)))


def vote_curves(report: Report) -> go.Figure | None:
    """Draw test accuracy against the number of samples of a vote, for every winner that predicts by a vote.

    A larger marker shows the number that validation chose. None if no winner votes.
    """
    curves = [(row, counts) for row in report.rows if (counts := analysis.votes(report, row))]
    if not curves:
        return None
    names = [str(count) for count in sorted({count for _, counts in curves for count in counts})]
    figure = go.Figure()
    for row, counts in curves:
        at = report.variants.index(row.variant)
        taken = analysis.chosen_samples(report, row)
        figure.add_scatter(
            x=[str(count) for count in counts],
            y=[100 * value for value in counts.values()],
            mode="lines+markers",
            marker={"symbol": mark(at), "size": [13 if count == taken else 7 for count in counts]},
            line={"color": spaces(report)[row.space]},
            name=f"{row.space}, {row.variant}",
            hovertemplate=f"<b>{row.space}</b> on {row.variant}, %{{x}} samples: %{{y:.2f}} %<extra></extra>",
        )
    figure.update_xaxes(type="category", categoryarray=names, title="samples that vote (0: the own embedding alone)")
    figure.update_yaxes(title="test accuracy [%]")
    return finished(figure, height=430)


def flow_curves(report: Report) -> list[tuple[str, go.Figure]]:
    """Accuracy against the number of samples, by vote, on every variant: of each flow that `study flow` measured."""
    return [(one.space, flow_curve(one.flow)) for one in report.inspected if one.flow]


def flow_curve(flow: FlowResult) -> go.Figure:
    """Draw the accuracies in what `study flow` recorded, and of the frozen backbone, on every variant."""
    accuracies = flow["accuracy"]
    figure, places = panels(list(accuracies), shared_y=False)
    for (variant, found), place in zip(accuracies.items(), places, strict=True):
        votes = {name: curve for name, curve in found.items() if isinstance(curve, dict)}
        for at, (vote, curve) in enumerate(votes.items()):
            figure.add_scatter(
                x=list(curve),
                y=percents(list(curve.values())),
                mode="lines+markers",
                marker={"symbol": mark(at), "size": [11 if n == str(flow["samples"]) else 6 for n in curve]},
                line={"color": color(at)},
                name=vote.replace("_", " "),
                legendgroup=vote,
                showlegend=variant == next(iter(accuracies)),
                hovertemplate=f"<b>{vote}</b>, {variant}, %{{x}} samples: %{{y:.2f}} %<extra></extra>",
                **place,
            )
        count = len(next(iter(votes.values()), {}))
        figure.add_scatter(
            x=list(next(iter(votes.values()), {})),
            y=[100 * found["backbone"]] * count,
            mode="lines",
            line={"color": "#888", "dash": "dot"},
            name="frozen backbone",
            legendgroup="backbone",
            showlegend=variant == next(iter(accuracies)),
            hovertemplate=f"frozen backbone, {variant}: %{{y:.2f}} %<extra></extra>",
            **place,
        )
    figure.update_xaxes(type="category", title_text="samples", title_standoff=5)
    figure.update_yaxes(title_text="accuracy [%]", col=1)
    return figure
