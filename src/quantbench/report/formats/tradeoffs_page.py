"""performance_tradeoffs.html: one page that holds Plotly and its data, so that it works without a network.

The bundle is plotly.js's basic one (scatter, bar and pie; MIT licence beside it), a quarter of the whole
library, which is what the Python package of that name would put into every results folder. It is packed by
gzip, which every browser unpacks since 2023.
"""

import base64
import gzip
import json
from html import escape
from importlib import resources

from quantbench.analysis import Analysis, task_title
from quantbench.report.blocks import Table
from quantbench.report.charts.tradeoffs_chart import tradeoff_figure
from quantbench.report.sections.overview import method_table
from quantbench.report.sections.scores import score_table

UNUSED_BUTTONS = ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d"]  # the first needs a network
BUNDLE = "plotly-basic.min.js"  # 4.1.1 of the npm package plotly.js-basic-dist-min
UNPACK = """<script>
(async () => {{
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const text = new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  const script = document.createElement("script");
  script.textContent = await text;
  document.head.append(script);
  Plotly.newPlot("tradeoffs", {arguments});
}})();
</script>"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: white;
       max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; margin: 0 0 .3rem; }}
h2 {{ font-size: 1.1rem; margin: 1.5rem 0 .3rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem 0 .3rem 1.4rem; text-align: right; border-bottom: 1px solid #ddd; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
.scroll {{ overflow-x: auto; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{intro}</p>
{body}
</body>
</html>
"""


def render_tradeoffs(analysis: Analysis) -> str:
    """The whole page as text."""
    results = analysis.results
    figure = tradeoff_figure(analysis)
    parts = [_chart(figure)] if figure["data"] else ["<p>There are not enough figures for a chart.</p>"]
    parts.append(_table("Figures", method_table(results)))
    parts += [_table(f"{task_title(task)} pass@1", score_table(results, task)) for task in results.tasks]
    return PAGE.format(
        title=escape(f"Trade-offs: {results.model_name}"),
        intro=escape(_intro(analysis)),
        body="\n".join(parts),
    )


def _intro(analysis: Analysis) -> str:
    point = next((row.speed for row in analysis.results.rows if row.speed), None)
    where = f" Speed is decoding at {point.label} tokens." if point else ""
    return (
        "Up and to the left is better. Bars are 95 % intervals (the range, where a speed was repeated fewer "
        f"than six times).{where} Point at a method for its figures, drag to zoom, double-click to reset."
    )


def _chart(figure: dict[str, object]) -> str:
    config = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": UNUSED_BUTTONS}
    bundle = (resources.files("quantbench") / "assets" / BUNDLE).read_bytes()
    packed = base64.b64encode(gzip.compress(bundle, mtime=0)).decode()
    arguments = ", ".join(_script_value(value) for value in (figure["data"], figure["layout"], config))
    return (
        '<div id="tradeoffs"></div>\n<!-- plotly.js, Copyright Plotly, Inc., MIT licence -->\n'
        f'<script type="text/plain" id="plotly">{packed}</script>\n{UNPACK.format(arguments=arguments)}'
    )


def _script_value(value: object) -> str:
    """A value as JavaScript that cannot end its script element."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _table(title: str, table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column.title)}</th>' for column in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
    return f'<h2>{escape(title)}</h2>\n<div class="scroll"><table>{body}</table></div>'
