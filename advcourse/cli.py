"""The command `advcourse`. Each subcommand only defines its arguments; the work is done elsewhere, and imported when needed."""

import logging
import os
import shutil
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from advcourse.cases import commands
from advcourse.core.errors import InputError
from advcourse.core.files import check_between, check_folder, check_target, replacing
from advcourse.course import auditing, exporting

_COMPLETE = "_ADVCOURSE_COMPLETE"  # the environment variable by which a shell asks for completions

app = typer.Typer(
    help="A course and a library on adversarial attacks on deep learning systems and the defenses against them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
commands.add_to(app)
exporting.add_to(app)
auditing.add_to(app)


def _print_version(wanted: bool):
    if wanted:
        from advcourse import __version__

        typer.echo(f"advcourse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
):
    pass


@app.command()
def lab(
    browser: Annotated[bool, typer.Option(help="Open a browser; otherwise the address is printed.")] = True,
    port: Annotated[int, typer.Option(help="Port of the server.", min=1, max=65535)] = 8888,
    instructor: Annotated[
        bool, typer.Option("--instructor", help="Show nbgrader's menus, which learners do not need.")
    ] = False,
) -> None:
    """Open the course in JupyterLab, on chapter 00."""
    from advcourse.course import jupyter
    from advcourse.course.notebooks import FIRST, checkout

    jupyter.start(checkout(), f"chapters/{FIRST}.ipynb", port, browser, instructor)


@app.command()
def run(
    chapter: Annotated[list[str] | None, typer.Argument(help='By number ("2") or name; all if none.')] = None,
    profile: Annotated[str, typer.Option(help="fast (two processor cores) or full (a GPU).")] = "fast",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the notebooks and the table.")] = Path("build"),
) -> None:
    """Run chapters; write the executed notebooks and a table of each one's seconds and memory."""
    from advcourse.course import notebooks

    paths = notebooks.select(chapter or [], notebooks.checkout())
    check_folder(out, "out")
    try:
        reports = notebooks.run_all(paths, out, profile, device, seed)
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would log the interrupted cell
        typer.echo(f"Interrupted. The chapters that were finished are in {out}.", err=True)
        raise typer.Exit(130) from None
    typer.echo(notebooks.table(reports).to_string(index=False))
    typer.echo(f"Notebooks and table: {out}")
    raise typer.Exit(int(any(report.error for report in reports)))


@app.command()
def refresh(
    chapter: Annotated[list[str] | None, typer.Argument(help='By number ("2") or name; all if none.')] = None,
    results: Annotated[bool, typer.Option("--results", help="Measure what chapters quote, instead.")] = False,
) -> None:
    """Run chapters and store them with their new outputs (for authors)."""
    from tqdm import tqdm

    from advcourse.course import notebooks

    for path in tqdm(notebooks.select(chapter or [], notebooks.checkout()), unit="chapter"):
        with _telling_of_cells(path):
            (notebooks.refresh_results if results else notebooks.refresh)(path)


@contextmanager
def _telling_of_cells(what):
    """Inside the block, a failing cell ends the command with status 1, and one line that says where and why."""
    from nbclient.exceptions import CellExecutionError

    try:
        yield
    except CellExecutionError as error:
        typer.echo(f"Failed: {what}, left unchanged: {error.ename}: {error.evalue}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _resumable(folder, what="cells that were finished"):
    """Inside the block, Ctrl-C prints where finished work is kept, and ends with status 130.

    A system shutdown or a closed terminal is handled in the same way, with the status of its signal (143, 129).
    """
    received = [signal.SIGINT]

    def stop(number, _):
        received[0] = number
        raise KeyboardInterrupt

    asking = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    asking = [number for number in asking if signal.getsignal(number) == signal.SIG_DFL]
    for number in asking:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        kept = f"The {what} are kept in {folder}"
        with suppress(OSError):  # the terminal may be gone
            typer.echo(f"Interrupted. {kept}; the same command goes on from there.", err=True)
        raise typer.Exit(128 + received[0]) from None
    finally:
        for number in asking:
            signal.signal(number, signal.SIG_DFL)


@app.command()
def evaluate(
    file: Annotated[
        Path | None, typer.Argument(help="Settings (YAML); if none, Table 1 on digits.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and the finished cells.")] = Path(
        "build/evaluation"
    ),
    workers: Annotated[int, typer.Option(help="Processes that measure side by side.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler whose workers measure instead.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; overrides the file.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="Images per data set; overrides the file.")] = None,
    init: Annotated[
        bool,
        typer.Option(
            "--init", help="Write a settings file to start from (default evaluation.yml), and exit."
        ),
    ] = False,
) -> None:
    """Measure attacks on models, and write a report. Run again, it continues from what is finished."""
    if init:
        return _begin_settings(file or Path("evaluation.yml"))
    with _resumable(out / "cells"):
        from advcourse.evaluation import overview, report, run, settings

        wanted = settings.read(file, device, images)
        check_folder(out, "out")
        outcome = run(wanted.cells, out / "cells", workers, scheduler)
        page = report.write(outcome, out, wanted.title)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(overview.overview(outcome.records, width))
    typer.echo(f"Report: {page}. Measured now: {outcome.computed} of {len(wanted.cells)} cells.")
    for failure in outcome.failures:
        names = failure.names
        typer.echo(f"Failed: {names.full_attack} on {names.model}, {names.data}: {failure.error}", err=True)
    raise typer.Exit(int(bool(outcome.failures)))


def _begin_settings(path):
    from advcourse.evaluation.settings import TEMPLATE

    check_target(path, "file")
    if path.exists():
        raise InputError(f"file: got {str(path)!r}, which already exists; allowed is a new file")
    with replacing(path, keep=True) as partial:
        shutil.copyfile(TEMPLATE, partial)
    typer.echo(f"Written: {path}. Edit it as you like, then run: advcourse evaluate {path}")


@app.command()
def matrix(
    out: Annotated[Path, typer.Option(help="Folder for the report and the finished cells.")] = Path(
        "build/matrix"
    ),
    workers: Annotated[int, typer.Option(help="Processes that measure side by side.")] = 1,
    images: Annotated[int, typer.Option(help="Held-out digits.")] = 100,
    defense: Annotated[list[str] | None, typer.Option(help="A defense in the zoo; all if none.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the tables between the markers in this file.")
    ] = None,
) -> None:
    """Measure every defense under every attack, including its adaptive ones. Run again, it continues from what is finished."""
    from advcourse.evaluation import defended, report, run

    if write:
        check_between(write, defended.BEGIN, defended.END, "write")
    with _resumable(out / "cells"):
        cells = defended.cells(images, defenses=defense)
        check_folder(out, "out")
        outcome = run(cells, out / "cells", workers)
    if not outcome.records:
        typer.echo(
            f"Failed: all {len(outcome.failures)} cells, the first with {outcome.failures[0].error}", err=True
        )
        raise typer.Exit(1)
    tables, page = defended.as_markdown(outcome.records), report.write(outcome, out, "Attacks on defenses")
    typer.echo(f"{tables}\n\nReport: {page}. Measured now: {outcome.computed} cells.")
    for failure in outcome.failures:
        names = failure.names
        typer.echo(f"Failed: {names.full_attack} on {names.model}: {failure.error}", err=True)
    if write and not outcome.failures:
        defended.write(write, outcome.records)
    raise typer.Exit(int(bool(outcome.failures)))


@app.command()
def grade(
    submissions: Annotated[Path, typer.Argument(help="Folder or ZIP of the notebooks.", show_default=False)],
    lab: Annotated[str, typer.Option(help="Which lab: 3 or lab3.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for grades, pages and results; default build/grades/LAB.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that grade side by side.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler whose workers grade instead.")
    ] = None,
    secret: Annotated[
        Path | None,
        typer.Option(help="File of 16 bytes or more that determines all instances; default OUT/secret."),
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(help="Canvas gradebook or Moodle grading worksheet to fill in.")
    ] = None,
    nbgrader: Annotated[
        Path | None, typer.Option(help="nbgrader gradebook that also gets the grades.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(help='Such as "2026-11-20 23:59"; lists who was late, without a penalty.')
    ] = None,
    attempts: Annotated[str, typer.Option(help="Which attempt counts: newest or best.")] = "newest",
    isolation: Annotated[str, typer.Option(help="auto, bubblewrap, or process (weak).")] = "auto",
) -> None:
    """Grade a class's notebooks for one lab. Run again, it continues from what is graded."""
    from advcourse.grading import classroom
    from advcourse.grading.read import folders
    from advcourse.grading.tell import writing

    lab = folders.check_lab(lab)
    out = out or Path("build", "grades", lab)
    with _resumable(out / "results", "submissions that were graded"):
        writing.check_written(roster, nbgrader)
        until = folders.check_deadline(deadline)
        weak = "" if scheduler else classroom.check_isolation(isolation)
        if weak:
            typer.echo(f"Weak isolation: {weak}. {writing.WEAKNESS}", err=True)
        outcome = classroom.run(
            submissions, lab, out, workers, scheduler, secret, isolation=isolation, attempts=attempts
        )
        page, messages = writing.write(outcome, out, roster, nbgrader, until)
    for line in (*outcome.told, *messages):
        typer.echo(line, err=True)
    for student, failure in outcome.failed.items():
        typer.echo(f"Failed: {student}: {failure.error}", err=True)
    typer.echo(writing.summary(outcome))
    typer.echo(f"Overview: {page}. Grades: {out / 'grades.csv'}. Pages: {out / 'feedback'}.")
    raise typer.Exit(int(bool(outcome.failed)))


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="Your notebook.", show_default=False)],
    lab: Annotated[
        str | None, typer.Option(help="Which lab; default: read from the notebook.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Repeats an earlier check.", show_default=False)] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Write the verdicts, with pictures, into this HTML file.", show_default=False),
    ] = None,
    isolation: Annotated[str, typer.Option(help="auto, bubblewrap, or process (weak).")] = "auto",
) -> None:
    """Check your own notebook as it will be graded, and say what is right and what is wrong."""
    from advcourse.grading import dryrun

    if page:
        check_target(page, "page")
    report = dryrun.check(notebook, lab, seed, isolation)
    typer.echo(dryrun.as_text(report))
    if page:
        dryrun.write_page(report, page)
        typer.echo(f"Page: {page}")


@app.command()
def train(
    model: Annotated[list[str] | None, typer.Argument(help="Names of what is shipped; all if none.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the weights and cards.")] = Path("build/models"),
) -> None:
    """Retrain shipped models, and compare a figure, such as the accuracy, with that of the shipped ones."""
    from advcourse.core.inputs import check_choice
    from advcourse.zoo import shipped

    names = [check_choice(name, "model", shipped.names()) for name in model or shipped.names()]
    check_folder(out, "out")
    typer.echo(f"{'model':<24}{'':<16}{'shipped':>9}{'now':>9}{'change':>9}")
    for name in names:
        figure, before, now = shipped.again(name, out)
        typer.echo(f"{name:<24}{figure:<16}{before:>9.4f}{now:>9.4f}{now - before:>+9.4f}")
    typer.echo(f"Weights and cards: {out}")


@app.command()
def doctor() -> None:
    """Report what is installed, what is missing and how to get it. The exit status is 0 if the course can run."""
    from advcourse.course.doctor import examine, report

    findings = examine()
    typer.echo(report(findings))
    raise typer.Exit(int(any(finding.stops_the_course for finding in findings)))


@app.command()
def coverage(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
    write: Annotated[
        Path | None, typer.Option(help="Write the table between the markers in this file.")
    ] = None,
) -> None:
    """Report how much of the survey the course covers: code, chapter, test and lab for each of its ids."""
    from advcourse.course import coverage

    if write:
        check_between(write, coverage.BEGIN, coverage.END, "write")
        coverage.write(write)
    else:
        typer.echo(coverage.as_json() if json else coverage.as_markdown() if markdown else coverage.as_text())


@app.command()
def release(
    lab: Annotated[
        str | None, typer.Argument(help='Such as "lab4"; all if none.', show_default=False)
    ] = None,
    run: Annotated[
        bool, typer.Option("--run", help="First run the authors' notebooks, and store their new outputs.")
    ] = False,
) -> None:
    """Make the students' copies of the labs in exercises/ from solutions/ (for authors)."""
    from advcourse.labs.release import refresh, release

    if run:
        with _telling_of_cells(lab or "a lab"):
            refresh(lab)
    for path in release(lab):
        typer.echo(path)


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(help="bash or zsh.", show_default=False)],
) -> None:
    """Print the script for TAB completion: put eval "$(advcourse completion bash)" into ~/.bashrc."""
    from typer.completion import get_completion_script

    if shell not in ("bash", "zsh"):
        raise InputError(f"shell: got {shell!r}; allowed are 'bash', 'zsh'")
    typer.echo(get_completion_script(prog_name="advcourse", complete_var=_COMPLETE, shell=shell))


def main() -> None:
    """Run the command. Bad input and files that cannot be read or written give one line, no traceback, and exit status 2."""
    if _COMPLETE in os.environ:
        from typer.completion import completion_init

        completion_init()
    try:
        app(prog_name="advcourse")
    except (InputError, OSError) as error:
        typer.echo(f"advcourse: {error}", err=True)
        sys.exit(2)
