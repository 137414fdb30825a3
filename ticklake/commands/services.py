"""ticklake up, down, broker, kafka: what runs beside the lake."""

from typing import Annotated

import typer

from lake.settings import load_settings
from ticklake import console


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(broker)
    app.command()(kafka)


def up() -> None:
    """Start the embedded broker and Airflow with its UI on 127.0.0.1."""
    from ticklake.services import stack

    with console.progress("starting") as bar:
        access = stack.up(load_settings(), lambda step: bar.advance(1, step))
    console.out.print(f"Airflow: [bold]{access.url}[/]  user [bold]{access.user}[/]")
    console.out.print(f"password: [bold]{access.password}[/]")
    console.out.print("`make down` stops it.")


def down() -> None:
    """Stop Airflow with its tasks, and the broker, whichever runs."""
    from ticklake.services import stack

    stopped = stack.down(load_settings())
    console.out.print("stopped" if stopped else "nothing was running")


def broker(
    stop: Annotated[bool, typer.Option("--stop", help="stop it; its messages are gone")] = False,
) -> None:
    """Start the embedded Kafka broker (memory only), or stop it."""
    from ticklake.services import broker as embedded

    settings = load_settings()
    if stop:
        console.out.print("stopped" if embedded.stop(settings) else "it was not running")
        return
    embedded.start(settings)
    console.out.print(f"Kafka broker at {settings.kafka_bootstrap}")


def kafka(
    stop: Annotated[bool, typer.Option("--stop", help="stop it; its messages stay")] = False,
) -> None:
    """Start Apache Kafka in the broker's place (Java 17; its log is on the disk), or stop it."""
    from ticklake.services import kafka as apache

    settings = load_settings()
    if stop:
        console.out.print("stopped" if apache.stop(settings) else "it was not running")
        return
    apache.start(settings)
    console.out.print(f"Apache Kafka at {settings.kafka_bootstrap}")
