"""A loop over time as one ONNX graph: what comes before ``Scan``, its body, and the cut to logical time after it."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import GraphProto, TensorProto, ValueInfoProto, helper

from snnc.formats.onnx_emit import PREFIX, Emitter

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Series:
    """What is recorded: body tensor [B, *shape] of one element type; device step t + latency is logical step t."""

    name: str
    tensor: str
    shape: Shape
    kind: int
    latency: int


class Scan:
    """Grows a graph ``input [B, T, *shape] -> recorded series [B, T, *shape]`` with both B and T open.

    Args:
        shape: shape of one input step.
        kind: element type of the input.
        latency: device step at which input column 0 is sent.
        depth: device steps that run on top of T.
    """

    def __init__(self, shape: Shape, kind: int, latency: int, depth: int) -> None:
        self.before = Emitter("before")
        self.body = Emitter("step")
        self._after = Emitter("after")
        self._shape, self._kind, self._latency, self._depth = shape, kind, latency, depth
        self._batch = self.before.op("Shape", "input", start=0, end=1)
        self._steps = self.before.op("Shape", "input", start=1, end=2)
        self._starts: list[str] = []
        self._carried: list[ValueInfoProto] = []
        self._next: dict[str, str] = {}
        self._series: list[Series] = []
        self.step, self.column = f"{PREFIX}device_step", f"{PREFIX}column"

    def expanded(self, value: str, shape: Shape, rows: int | None = None) -> str:
        """Before the loop: a tensor broadcast to [B, *shape], or to [rows, B, *shape]."""
        front = [] if rows is None else [self.before.constant([rows])]
        target = self.before.op("Concat", *front, self._batch, self.before.constant(list(shape)), axis=0)
        return self.before.op("Expand", value, target)

    def carry(self, key: str, start: str, shape: Shape, kind: int, rows: int | None = None) -> str:
        """A tensor that goes from step to step: [B, *shape], or a delay line [rows, B, *shape].

        Args:
            key: unique name.
            start: tensor before the loop that broadcasts to the first value.
            shape: per sample.
            kind: element type.
            rows: length of a delay line.
        """
        name = f"{PREFIX}now/{key}"
        self._starts.append(self.expanded(start, shape, rows))
        axes: list[str | int] = [*([] if rows is None else [rows]), "B", *shape]
        self._carried.append(helper.make_tensor_value_info(name, kind, axes))
        return name

    def become(self, name: str, tensor: str) -> None:
        """Says which tensor of the body a carried one is in the next step."""
        self._next[name] = tensor

    def record(self, series: Series) -> None:
        """Makes a tensor of the body an output of the graph."""
        self._series.append(series)

    def graph(self, name: str, initializers: list[TensorProto]) -> GraphProto:
        """The whole graph."""
        body = self._body()
        columns, counter = self._columns()
        finals = [f"{PREFIX}final/{i}" for i in range(len(self._carried))]
        stacks = [f"{PREFIX}stack/{s.name}" for s in self._series]
        loop = helper.make_node(
            "Scan", [*self._starts, counter, columns], [*finals, *stacks], body=body, num_scan_inputs=2
        )
        for series, stack in zip(self._series, stacks, strict=True):
            self._cut(series, stack)
        given = helper.make_tensor_value_info("input", self._kind, ["B", "T", *self._shape])
        results = [helper.make_tensor_value_info(s.name, s.kind, ["B", "T", *s.shape]) for s in self._series]
        nodes = [*self.before.nodes, loop, *self._after.nodes]
        return helper.make_graph(nodes, name, [given], results, initializers)

    def _body(self) -> GraphProto:
        inputs = [
            *self._carried,
            helper.make_tensor_value_info(self.step, TensorProto.INT64, []),
            helper.make_tensor_value_info(self.column, self._kind, ["B", *self._shape]),
        ]
        outputs: list[ValueInfoProto] = []
        for i, value in enumerate(self._carried):
            output = self.body.op("Identity", self._next[value.name], to=f"{PREFIX}next/{i}")
            outputs.append(ValueInfoProto(name=output, type=value.type))
        for series in self._series:
            output = self.body.op("Identity", series.tensor, to=f"{PREFIX}sample/{series.name}")
            outputs.append(helper.make_tensor_value_info(output, series.kind, ["B", *series.shape]))
        return helper.make_graph(self.body.nodes, "step", inputs, outputs)

    def _columns(self) -> tuple[str, str]:
        """The input with time first, padded with silence to T + depth steps, and the device step's number."""
        e = self.before
        columns = e.op("Transpose", "input", perm=[1, 0, *range(2, 2 + len(self._shape))])
        silence = e.cast(e.constant(0), self._kind)
        early, late = self._latency, self._depth - self._latency
        parts = [*([self.expanded(silence, self._shape, early)] if early else []), columns]
        parts += [self.expanded(silence, self._shape, late)] if late else []
        if len(parts) > 1:
            columns = e.op("Concat", *parts, axis=0)
        total = e.op("Squeeze", e.op("Add", self._steps, e.constant([self._depth])), e.constant([0]))
        return columns, e.op("Range", e.constant(0), total, e.constant(1))

    def _cut(self, series: Series, stack: str) -> None:
        e = self._after
        if self._depth:
            first = e.constant([series.latency])
            stack = e.op("Slice", stack, first, e.op("Add", self._steps, first), e.constant([0]))
        e.op("Transpose", stack, to=series.name, perm=[1, 0, *range(2, 2 + len(series.shape))])
