"""From an error to its likely cause, the remedy, and whether trying again can mend it.

One table, read from the top; the first rule that fits wins. A rule fits an error if one of its
class names or its words are found in the error or in what caused it. `test_failure_rules.py` holds
the names against the classes that there are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DO_AGAIN = "then clear the task: it does the same work again"


@dataclass(frozen=True, slots=True)
class Rule:
    """Cause and remedy of a kind of error.

    `command` is what to type next, as it is typed; {lake}, {airflow} (its home), {flow} and
    {log} are filled in.
    `retry`: can trying again mend it? `errors` are names of classes, `words` a pattern.
    """

    name: str
    cause: str
    remedy: str
    command: str
    retry: bool = False
    errors: tuple[str, ...] = ()
    words: str = ""

    def fits(self, chain: list[BaseException]) -> bool:
        """Is this what the chain of errors, the last one first, is about?"""
        names = {base.__name__ for error in chain for base in type(error).__mro__}
        if names & set(self.errors):
            return True
        said = "\n".join(map(str, chain))
        return bool(self.words) and re.search(self.words, said) is not None


RULES = (
    Rule(
        "disk_full",
        "the disk that holds {lake} is full; what was being written was not committed, and "
        "nothing is half done",
        "free space: `ticklake maintain` removes what nobody reads any more, and warehouse.duckdb "
        f"may be deleted while no build runs; {DO_AGAIN}",
        "df -h {lake}",
        # What fills a disk often passes: a sort spilled by a query, the second copy of a table.
        retry=True,
        words=r"No space left on device|disk is full|Disk quota exceeded",
    ),
    Rule(
        "memory_limit",
        "a build needs more memory, or room on the disk beside it, than it may use",
        f"raise TICKLAKE_BUILD_MEMORY, or build fewer days at once; {DO_AGAIN}",
        "ticklake doctor",
        errors=("MemoryError",),
        words=r"Out of Memory Error",
    ),
    Rule(
        "process_killed",
        "the process that did the work was killed or could not start: most often the system has no "
        "memory left",
        f"see what killed it; lower TICKLAKE_BUILD_MEMORY if it was memory; {DO_AGAIN}",
        "sudo dmesg -T | grep -i 'killed process' | tail",
        retry=True,
        words=r"exit code -(9|15)\b|Cannot allocate memory",
    ),
    Rule(
        "settings",
        "a setting is wrong; the error names the variable and what it may be",
        "set it where Airflow is started, then start it again",
        "ticklake doctor",
        errors=("SettingsError",),
        words=r"wrong settings:",
    ),
    Rule(
        "contracts_off",
        "contract checks are switched off, and nothing lands unchecked",
        "unset both variables where Airflow is started, then start it again",
        "unset PANDERA_VALIDATION_ENABLED PANDERA_VALIDATION_DEPTH; make down up",
        errors=("ContractsDisabled",),
        words=r"contract checks are switched off",
    ),
    Rule(
        "damage",
        "a file of the lake is broken or gone; readers keep what they have of the others",
        "restore what is named from a backup, as `ticklake verify` says for each file; " + DO_AGAIN,
        "ticklake verify",
        errors=(
            "Damaged",
            "LogBroken",
            "OriginBroken",
            "ReceiptBroken",
            "ReadingBroken",
            "MarkBroken",
            "RowsDiffer",
        ),
        words=r"data file missing|log entry empty or cut off|bytes, the log says|/\S+ is gone",
    ),
    Rule(
        "build_busy",
        "another build, or a program that opened warehouse.duckdb, has the warehouse",
        f"let it end, or close it: people open lakehouse.duckdb; {DO_AGAIN}",
        "ticklake status",
        retry=True,
        errors=("BuildBusy", "MaintenanceBusy", "Busy"),
        words=r"another dbt has the warehouse",
    ),
    Rule(
        "overtaken",
        "another process wrote the same table at the same time, and was faster each time",
        f"see who else lands or builds in this lake; {DO_AGAIN}",
        "ticklake status",
        retry=True,
        errors=(
            "PublishConflict",
            "PositionTaken",
            "LedgerBehind",
            "ReplayBusy",
            "TableBusy",
            "CommitFailedError",
        ),
        words=r"was taken by another build",
    ),
    Rule(
        "model_broken",
        "a model's SQL does not run: a file of dbt/models was changed, or one in custom/ is wrong; "
        "readers keep the last publication",
        f"mend the model that the error names; {DO_AGAIN}",
        "cd dbt && dbt build",
        words=r"(Compilation|Parsing) Error|(Database|Runtime) Error in model",
    ),
    Rule(
        "build_failed",
        "a model failed, or an invariant that a test checks does not hold; readers keep the last "
        "publication",
        "the error names model or test, docs/reconciliation.md says what an open line means; "
        + DO_AGAIN,
        "ticklake reconcile",
        errors=("BuildFailed",),
    ),
    Rule(
        "accounts_open",
        "rows went missing or appeared between two layers, or a published file does not hold what "
        "was built",
        f"take up each line as docs/reconciliation.md says; {DO_AGAIN}",
        "ticklake reconcile",
        errors=("AccountsOpen",),
    ),
    Rule(
        "candles_drift",
        "candles that were shown while records landed differ from those of the build by more than "
        "0.5 %",
        "the table says why: late, duplicate, correction, outlier or lost (docs/drift.md)",
        "ticklake drift",
        errors=("CandlesDrift",),
    ),
    Rule(
        "expectations_broken",
        "a published table does not hold what its contract or model promises",
        "look at the rows that the error names; the Data Docs show them all (docs/expectations.md)",
        "ticklake expect --docs",
        errors=("ExpectationsBroken",),
    ),
    Rule(
        "not_built",
        "what this task reads was never built, or was left out of the builds",
        f"build it, with TICKLAKE_MODELS=all; {DO_AGAIN}",
        "TICKLAKE_MODELS=all ticklake build",
        errors=("NothingPublished", "DriftNotBuilt"),
    ),
    Rule(
        "broker_away",
        "no Kafka broker answers at the address in TICKLAKE_KAFKA_BOOTSTRAP",
        f"start the broker, or mend the address or the network; {DO_AGAIN}",
        "ticklake doctor",
        retry=True,
        errors=("BrokerUnreachable", "ProduceFailed"),
    ),
    Rule(
        "broker_refused",
        "user, password or certificate are not what the Kafka broker wants",
        "set TICKLAKE_KAFKA_SECURITY_PROTOCOL and what belongs to it (docs/kafka.md), start again",
        "ticklake doctor",
        errors=("BrokerRefused",),
    ),
    Rule(
        "topic_recreated",
        "a topic was deleted and made anew: its offsets are not those that were landed",
        "say that its new records are wanted: the error has the whole command; " + DO_AGAIN,
        "ticklake ingest --accept-recreated TOPIC",
        errors=("TopicRecreated",),
    ),
    Rule(
        "records_lost",
        "the broker deleted records before they were landed: its retention is too short",
        "say that the loss is known, it is kept in the ledger: the error has the whole command; "
        + DO_AGAIN,
        "ticklake ingest --accept-loss TOPIC/PARTITION:FROM-TO",
        errors=("RecordsLost",),
    ),
    Rule(
        "another_broker",
        "the topic does not hold the position that was landed last: this is another broker",
        f"set TICKLAKE_KAFKA_BOOTSTRAP to the broker that was landed from; {DO_AGAIN}",
        "ticklake doctor",
        errors=("PositionAhead",),
    ),
    Rule(
        "broker_changed",
        "a topic or the whole cluster was exchanged while it was read",
        "nothing, if it does not go on: what was committed stays, the next run lands on",
        "ticklake doctor",
        retry=True,
        errors=("TopicGone", "ClusterChanged"),
    ),
    Rule(
        "vendor_away",
        "the vendor did not answer for as long as TICKLAKE_VENDOR_PATIENCE allows",
        f"what was committed stays; {DO_AGAIN}, once the vendor answers",
        "ticklake status",
        retry=True,
        errors=("VendorAway",),
    ),
    Rule(
        "vendor_refused",
        "the vendor will not answer this, however often it is asked",
        f"the error says what to set or to ask; {DO_AGAIN}",
        "ticklake doctor",
        errors=("VendorRefused", "HistoryChanged", "NothingAsked"),
    ),
    Rule(
        "file_refused",
        "a file in the inbox, or the mapping of its feed, is not as it has to be (docs/feeds.md)",
        f"mend or move away the file that the error names; {DO_AGAIN}",
        "ticklake ingest",
        errors=("FeedError", "FileRefused", "NotAccepted"),
    ),
    Rule(
        "parameter",
        "the run was started with a parameter that cannot be",
        "start a new run with a right one: clearing this one would keep it",
        "AIRFLOW_HOME={airflow} airflow dags trigger {flow}",
        errors=("UnknownDataset", "UnknownCode", "UnknownTable"),
        words=r"has not begun \(it is|leave `day` empty|`day` must be a date",
    ),
    Rule(
        "not_installed",
        "a package or program is not in the environment that Airflow runs in",
        "install it, then start Airflow again",
        "make setup && make down up",
        errors=("ImportError",),
        words=r"no `dbt` beside this Python",
    ),
    Rule(
        "not_allowed",
        "a file or folder belongs to somebody else",
        f"give it to the user that Airflow runs as; {DO_AGAIN}",
        "ls -la {lake}",
        errors=("PermissionError",),
        words=r"Permission denied",
    ),
    Rule(
        "task_timeout",
        "the task took longer than it may",
        f"the log shows what it was at; {DO_AGAIN}",
        "ticklake status",
        retry=True,
        errors=("AirflowTaskTimeout",),
    ),
)

UNKNOWN = Rule(
    "unknown",
    "none that is known",
    "read the log from its end: {log}",
    "ticklake doctor",
    retry=True,
)
MISTAKE = Rule(
    "mistake",
    "none that is known: a value or a name is not what the code takes",
    "read the log from its end: {log}",
    "ticklake doctor",
    errors=("ValueError", "TypeError", "LookupError"),
)

# Nobody raised an error in these: Airflow says what became of the run.
LOST = Rule(
    "process_lost",
    "the task's process ended without a word, or never began: it was killed, the system was out of "
    "memory, or the machine or Airflow went down",
    f"see what killed it; nothing is half done; {DO_AGAIN}",
    "sudo dmesg -T | grep -i 'killed process' | tail",
)
TIMED_OUT = Rule(
    "run_timeout",
    "the run took longer than its flow allows, and was ended",
    "see what it was at or waited for, the pools `builder` and `lander` first; clear the run, it "
    "goes on where it stood",
    "ticklake status",
)
DEADLOCKED = Rule(
    "deadlock",
    "no task of the run can start any more",
    "clear the run",
    "AIRFLOW_HOME={airflow} airflow dags list-runs {flow}",
)
LATE = Rule(
    "late",
    "the run is not done at its time: it waits for a pool, or its work grew",
    "look at what holds `builder` and `lander`; the run goes on, nothing is lost",
    "ticklake status",
)
BY_REASON = {"timed_out": TIMED_OUT, "all_tasks_deadlocked": DEADLOCKED, "late": LATE}
"""What Airflow, or a deadline, says of a run -> the rule."""


def rule_of(error: BaseException | None) -> Rule:
    """The rule that fits an error; LOST where there was none to be caught."""
    if error is None:
        return LOST
    chain = list(chain_of(error))
    return next((rule for rule in (*RULES, MISTAKE) if rule.fits(chain)), UNKNOWN)


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def everything() -> tuple[Rule, ...]:
    """All rules, for those who list them."""
    return (*RULES, MISTAKE, UNKNOWN, LOST, TIMED_OUT, DEADLOCKED, LATE)
