"""Draws infra/docs/architecture.svg: `python infra/docs/draw.py`. The picture is data below, not a drawing by hand."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

TARGET = Path(__file__).with_name("architecture.svg")
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1c2430; }
.title { font-weight: 600; }
.small { font-size: 11px; fill: #5b6676; }
.box { stroke-width: 1.2; rx: 8; }
.edge { stroke: #5b6676; stroke-width: 1.4; fill: none; marker-end: url(#arrow); }
.group { fill: none; stroke: #aab4c2; stroke-dasharray: 5 4; rx: 12; }
"""
_COLOURS = {
    "client": ("#eef2f7", "#8593a6"),
    "edge": ("#e3edff", "#3566c4"),
    "function": ("#fff1dd", "#c47a14"),
    "data": ("#e4f4e8", "#2f8a4a"),
    "outside": ("#f4e8f7", "#8a4aa0"),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and lines under it; `kind` is its colour."""

    x: int
    y: int
    width: int
    height: int
    kind: str
    title: str
    lines: tuple[str, ...] = ()

    def svg(self) -> str:
        fill, stroke = _COLOURS[self.kind]
        middle = self.x + self.width / 2
        parts = [
            f'<rect class="box" x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" '
            f'fill="{fill}" stroke="{stroke}"/>',
            f'<text class="title" x="{middle}" y="{self.y + 22}" text-anchor="middle">{escape(self.title)}</text>',
        ]
        parts += [
            f'<text class="small" x="{middle}" y="{self.y + 40 + 15 * row}" text-anchor="middle">{escape(line)}</text>'
            for row, line in enumerate(self.lines)
        ]
        return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow along points, with a word beside it."""

    points: tuple[tuple[int, int], ...]
    label: str = ""
    at: tuple[int, int] = (0, 0)

    def svg(self) -> str:
        path = " L ".join(f"{x} {y}" for x, y in self.points)
        line = f'<path class="edge" d="M {path}"/>'
        return line + f'<text class="small" x="{self.at[0]}" y="{self.at[1]}">{escape(self.label)}</text>'


BOXES = (
    Box(20, 150, 140, 86, "client", "Your tenants", ("API keys, tokens", "curl · SDKs · browser")),
    Box(210, 130, 150, 126, "edge", "API Gateway", ("REST, Regional", "response streaming", "one error form")),
    Box(210, 20, 150, 70, "function", "authorizer", ("one batch read", "cache ≤ 30 s")),
    Box(430, 20, 210, 86, "function", "chat", ("web adapter, streams", "one agent loop: model ⇄ tools")),
    Box(430, 126, 100, 52, "function", "sessions", ("messages",)),
    Box(540, 126, 100, 52, "function", "admin", ("keys, agents",)),
    Box(430, 188, 100, 52, "function", "platform", ("tenants",)),
    Box(540, 188, 100, 52, "function", "usage", ("totals",)),
    Box(430, 250, 100, 52, "function", "identity", ("who am I, keys",)),
    Box(540, 250, 100, 52, "function", "console", ("docs, health",)),
    Box(
        720,
        126,
        190,
        118,
        "data",
        "DynamoDB: one table",
        ("TENANT#<id>#… partitions", "a turn is one item", "a ledger entry a turn"),
    ),
    Box(720, 20, 190, 70, "outside", "Model providers", ("Anthropic, or on Bedrock",)),
    Box(720, 262, 190, 40, "data", "S3: content over 32 kB"),
    Box(430, 340, 210, 52, "function", "sweep, each minute", ("closes runs whose function died",)),
    Box(720, 340, 190, 52, "function", "usage stream", ("sums by day, model, agent …",)),
)
EDGES = (
    Edge(((160, 193), (210, 193))),
    Edge(((285, 130), (285, 90)), "asks first", (292, 114)),
    Edge(((360, 165), (395, 165), (395, 63), (430, 63)), "SSE", (400, 56)),
    Edge(((360, 213), (430, 213))),
    Edge(((640, 55), (720, 55))),
    Edge(((640, 80), (680, 80), (680, 160), (720, 160))),
    Edge(((640, 213), (720, 213))),
    Edge(((360, 45), (395, 45), (395, 8), (930, 8), (930, 185), (910, 185))),
    Edge(((640, 366), (690, 366), (690, 232), (720, 232))),
    Edge(((910, 225), (935, 225), (935, 366), (910, 366)), "table stream", (838, 322)),
)


def draw() -> str:
    """Return the picture as SVG."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 950 410" role="img" aria-labelledby="t">',
        '<title id="t">Atrium: tenants call API Gateway; an authorizer and separate functions share one table</title>',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M 0 0 L 10 5 L 0 10 z" fill="#5b6676"/></marker></defs>',
        '<rect width="950" height="410" fill="#ffffff"/>',
        *(edge.svg() for edge in EDGES),
        *(box.svg() for box in BOXES),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw())
