"""`fieldelm replay`: the node's own code, on MicroPython, over recordings.

Each `--train` file gives its first four fifths to training and its last fifth to calibration; the training rows are
commissioned in the order of the files, then the calibration rows, taken in turn from each file. Then the streams
continue the node's life in their order. One JSON line per row of every stream; with `--json` one document instead.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldelm.codes import POLICIES

from . import environment, recordings, rowfile
from .errors import FieldelmError, UsageError
from .recordings import Recording

NODE = Path(__file__).with_name("micropython") / "replay_node.py"
CONTRADICTION = 3
"""Exit code of the script on MicroPython when recording and settings do not fit."""
HIDDEN = 22
BANDS = 64
LEAST_ROWS = 40
"""Of all training files together: 32 to train, 8 to calibrate."""
MOST_COLUMNS = 6144
"""Numbers in a row: three axes of the longest window of a node."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    files = "FILE.csv, FILE.npy, FILE.npz:KEY, or a zip or folder of one CSV per spectrum"
    parser.add_argument(
        "--train", action="append", required=True, metavar="A", help=f"commission on this: {files}; repeatable"
    )
    parser.add_argument(
        "--stream", action="append", required=True, metavar="C", help="then live through this; repeatable"
    )
    parser.add_argument(
        "--kind", choices=recordings.KINDS, help="what a row is (3-D arrays: waveform, others: spectrum)"
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="HZ",
        help="samples a second in a window (of waveforms; default: as the file tells)",
    )
    parser.add_argument("--period", type=float, default=60.0, metavar="S", help="seconds from row to row (60)")
    parser.add_argument(
        "--policy", choices=POLICIES, default="auto", help="what to do about a change of environment (auto)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the random hidden layer (1)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw score, threshold, states and events")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of one line a row")


def run(args: argparse.Namespace) -> int:
    """Replay and print."""
    if not 0 < args.period <= 1e6:
        raise UsageError(f"--period {args.period:g}: give seconds, above 0 and at most 1000000")
    if args.rate is not None and not 0 < args.rate <= 1e6:
        raise UsageError(f"--rate {args.rate:g}: give hertz, above 0 and at most 1000000")
    if not 0 <= args.seed <= 0xFFFFFFFF:
        raise UsageError(f"--seed {args.seed}: give a whole number from 0 to 4294967295")
    if args.plot is not None and args.plot.suffix.lower() != ".svg":
        raise UsageError(f"--plot {args.plot}: plots are drawn as SVG: name a FILE.svg")
    if args.plot is not None:
        _check_plot(args.plot)
    trains = [recordings.load(name, args.kind) for name in args.train]
    streams = [recordings.load(name, args.kind) for name in args.stream]
    args.rate = args.rate or _rate([*trains, *streams])
    _check(trains, streams, args.rate)
    training, calibration = split(trains)
    rows: list[dict[str, Any]] = []
    learner: dict[str, Any] = {}
    for line in _play(training, calibration, trains, streams, args):
        if "learner_bytes" in line:
            learner = line
            continue
        if args.json or args.plot:
            rows.append(line)
        if not args.json:
            print(json.dumps(line), flush=True)
    if args.plot:
        from .replay_plot import draw

        args.plot.write_text(draw(rows, [s.name for s in streams], args.period), encoding="utf-8")
        print(f"plot: {args.plot}", file=sys.stderr)
    if args.json:
        print(json.dumps(_document(rows, training, calibration, streams, learner, args)))
    return 0


def _check_plot(plot: Path) -> None:
    """Before the run, so that its plot is not what fails."""
    try:
        plot.parent.mkdir(parents=True, exist_ok=True)
        new = not plot.exists()
        plot.open("a", encoding="utf-8").close()
        if new:
            plot.unlink()
    except OSError as error:
        raise UsageError(f"--plot {plot} cannot be written ({error.strerror}): name another FILE.svg") from None


def split(trains: Sequence[Recording]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows to train on, in order, and rows to calibrate with, in turn from each file."""
    training, held_back = [], []
    for recording in trains:
        cut = len(recording.rows) - max(len(recording.rows) // 5, 1)
        training.append(recording.rows[:cut])
        held_back.append(recording.rows[cut:])
    longest = max(len(rows) for rows in held_back)
    in_turn = [rows[i] for i in range(longest) for rows in held_back if i < len(rows)]
    return np.concatenate(training), np.stack(in_turn)


def _rate(given: Sequence[Recording]) -> float | None:
    rates = {recording.rate_hz for recording in given if recording.rate_hz}
    if len(rates) > 1:
        raise UsageError(
            f"the files were recorded at {', '.join(f'{r:g}' for r in sorted(rates))} Hz: they must be alike"
        )
    return rates.pop() if rates else None


def _check(trains: Sequence[Recording], streams: Sequence[Recording], rate: float | None) -> None:
    first = trains[0]
    for recording in [*trains, *streams]:
        if recording.kind != first.kind or recording.rows.shape[1:] != first.rows.shape[1:]:
            raise UsageError(
                f"{recording.name} has rows of {_shape(recording)}, {first.name} of {_shape(first)}: they must be alike"
            )
    if first.kind == "waveform" and not rate:
        raise UsageError("a waveform needs --rate HZ, the samples a second within a window")
    if int(np.prod(first.rows.shape[1:])) > MOST_COLUMNS:
        raise UsageError(
            f"{first.name} has rows of {_shape(first)}: a node takes {MOST_COLUMNS} numbers at most: cut the windows"
        )
    if first.kind == "waveform" and first.rows.shape[1] < 16:
        raise UsageError(f"{first.name} has rows of {_shape(first)}: a window needs 16 samples at least")
    total = sum(len(recording.rows) for recording in trains)
    if total < LEAST_ROWS:
        raise UsageError(
            f"the training files have {total} rows: {LEAST_ROWS} are needed, four fifths to train, the rest to calibrate"
        )


def _shape(recording: Recording) -> str:
    return " x ".join(str(n) for n in recording.rows.shape[1:]) + f" {recording.kind} numbers"


def _play(
    training: NDArray[Any],
    calibration: NDArray[Any],
    trains: Sequence[Recording],
    streams: Sequence[Recording],
    args: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """Lines of the script on MicroPython, checked."""
    kind = streams[0].kind
    played = [np.concatenate([training, calibration]), *(s.rows for s in streams)]
    g_per_count, full_scale = _scale(trains, streams) if kind == "waveform" else (0.0, 0)
    with tempfile.TemporaryDirectory(prefix="fieldelm-") as name:
        folder = Path(name)
        files = []
        for number, rows in enumerate(played):
            path = folder / f"{number}.rows"
            header = rowfile.write(
                path, rows, kind=kind, rate_hz=args.rate or 0.0, full_scale=full_scale, g_per_count=g_per_count
            )
            files.append({"path": str(path), "stream": number - 1 if number else None})
        job = folder / "job.json"
        config = {
            "sense": {
                "kind": kind,
                "inputs": header.columns,
                "samples": header.columns // header.axes,
                "axis": "sum",
                "bands": BANDS,
                "band_low_hz": 0,
                "band_high_hz": 0,
            },
            "learn": {
                "hidden": HIDDEN,
                "seed": args.seed,
                "policy": args.policy,
                "train_rows": len(training),
                "calibration_rows": len(calibration),
            },
        }
        job.write_text(json.dumps({"config": config, "period_ms": int(args.period * 1000), "files": files}))
        yield from _lines(job, streams)


def _scale(trains: Sequence[Recording], streams: Sequence[Recording]) -> tuple[float, int]:
    """g of one count, and the count that clips: as the files tell; else 1 for counts, for g so that the largest fills int16."""
    given = [*trains, *streams]
    told = {(recording.g_per_count, recording.full_scale) for recording in given}
    most = max(float(np.abs(recording.rows).max()) for recording in given)
    if all(recording.rows.dtype.kind in "iu" for recording in given) and most <= 32767:
        return told.pop() if len(told) == 1 and given[0].g_per_count else (1.0, 0)
    return max(most, 1e-9) / 32000, 0


def _lines(job: Path, streams: Sequence[Recording]) -> Iterator[dict[str, Any]]:
    command = [*environment.micropython_command(), str(NODE), str(job)]
    commissioned = False
    trouble = ""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment.micropython_environment()
        ) as process,
    ):
        assert process.stdout is not None
        for text in process.stdout:
            if not text.startswith("{"):
                trouble = text.strip()
                continue
            line: dict[str, Any] = json.loads(text)
            stream = line.get("stream")
            if "learner_bytes" in line:
                yield line
            elif stream is None:
                commissioned = _tell_commissioning(line)
            elif not commissioned:
                process.terminate()
                raise FieldelmError(
                    "commissioning failed: the training rows disagree with each other, repeat one row or are noise: "
                    "give recordings of the machine running normally"
                )
            else:
                if line["row"] == 0:
                    print(f"stream {stream}: {streams[stream].name}, {len(streams[stream].rows)} rows", file=sys.stderr)
                yield line
        code = process.wait()
        if code == CONTRADICTION:
            raise UsageError(trouble)
        if code:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [trouble or "no message"])[-1]
            raise FieldelmError(f"MicroPython stopped with code {code}: {last}")


def _tell_commissioning(line: dict[str, Any]) -> bool:
    """Tell the person what happened while commissioning; True once that has succeeded."""
    more = f", threshold {line['threshold']:.3g}" if line["event"] == "commissioned" else ""
    print(f"training row {line['row']}: {line['event']}{more}", file=sys.stderr)
    return bool(line["event"] == "commissioned")


def _document(
    rows: Sequence[dict[str, Any]],
    training: NDArray[Any],
    calibration: NDArray[Any],
    streams: Sequence[Recording],
    learner: dict[str, Any],
    args: argparse.Namespace,
) -> dict[str, Any]:
    summaries = []
    for number, stream in enumerate(streams):
        mine = [row for row in rows if row["stream"] == number]
        summaries.append(
            {
                "name": stream.name,
                "rows": len(mine),
                "anomalies": sum(row["verdict"] == "anomaly" for row in mine),
                "learned": sum(row["learned"] for row in mine),
                "last_state": mine[-1]["state"],
                "events": [{"row": row["row"], "event": row["event"]} for row in mine if row["event"]],
            }
        )
    return {
        "kind": streams[0].kind,
        "policy": args.policy,
        "seed": args.seed,
        "training_rows": len(training),
        "calibration_rows": len(calibration),
        **learner,
        "streams": summaries,
        "rows": list(rows),
    }
