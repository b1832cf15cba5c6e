"""How the demo speaks: stages, facts, progress, to the terminal by Rich. The facts go into the report too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


@dataclass
class Telling:
    """One voice for the whole story."""

    console: Console
    said: list[tuple[str, list[str]]] = field(default_factory=list)  # stage → its facts

    def stage(self, number: int, title: str, words: str) -> None:
        """Open a stage."""
        self.said.append((title, []))
        self.console.print()
        self.console.print(f"[bold cyan]{number}  {escape(title)}[/]  [dim]{escape(words)}[/]")

    def fact(self, text: str) -> None:
        """Say what was found."""
        if self.said:
            self.said[-1][1].append(text)
        self.console.print(f"   [green]•[/] {escape(text)}", highlight=False)

    def detail(self, text: str) -> None:
        """Say a lesser thing."""
        self.console.print(f"     [dim]{escape(text)}[/]", highlight=False)

    def mark(self, style: str, text: str) -> None:
        """Say a mark of the timeline: a notice, an alarm, a decision."""
        self.console.print(f"   [{style}]{escape(text)}[/]", highlight=False)

    @contextmanager
    def bar(self, total: int, words: str) -> Iterator["Bar"]:
        """Show how far a long stage is."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield Bar(progress, progress.add_task(words, total=total))


@dataclass(frozen=True)
class Bar:
    """A progress bar."""

    progress: Progress
    task: TaskID

    def move(self, done: int, words: str) -> None:
        """Say how far it is, and what happens now."""
        self.progress.update(self.task, completed=done, description=words)
