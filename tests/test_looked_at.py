"""A workspace that nobody may write to, or of a newer lab, is shown: nothing in it changes, and all are told."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from forked import fork
from shown import filled, listing, newer, on_a_read_only_disk, why_no_mount
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.errors import BadFile, Damaged, NewerWorkspace, ReadOnly
from lab.store import Store
from lab.store.looking import Barred, version_of
from lab.store.schema import VERSION
from lab.ui.launch import Options, mark, only_one, words
from lab.ui.looked_at import MISSING, NO_MODEL, READING, banner, own_folder, unshown
from lab.ui.office import Office
from lab.ui.routes import routes, unexpected
from lab.ui.shell import TABS, build
from lab.ui.supervisor import Supervisor
from lab.workspace import Workspace

ROOT = Path(__file__).parent.parent
WRITING = {
    *(f"{stage}-{order}" for stage in ("sft", "reward", "ppo") for order in ("start", "order", "move", "remedy")),
    *(f"board-{name}" for name in ("next", "look", "submit", "undo", "again", "own")),
    *(f"compare-{name}" for name in ("judge", "second", "stop", "side", "chat")),
    *("reward-score", "reward-exclude", "runs-rename", "runs-delete", "runs-restore", "restart", "take-back"),
    *("model-load", "model-foretell", "bring-add", "bring-back"),
}
BARRED = Barred(ReadOnly, "It cannot be written to.")
NOBODY = 65534


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A workspace of this lab, to be copied."""
    return filled(tmp_path_factory.mktemp("shown") / "mine")


@pytest.fixture
def mine(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "mine")


def opened(root: Path, **more) -> Office:
    """An office whose process of a model would end at once with an error, were it ever started."""
    office = Office(root, worker=Supervisor(root, command=(sys.executable, "-c", "1 / 0")), **more)
    build(office)
    return office


def client_of(office: Office) -> TestClient:
    told = partial(unexpected, why=unshown(office.workspace.barred))
    app = Starlette(routes=routes(office), exception_handlers={Exception: told})
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def shown(whole, tmp_path_factory):
    """An office on a workspace of a newer lab, which knows a table and a column that nobody here does; its files."""
    root = shutil.copytree(whole, tmp_path_factory.mktemp("newer") / "theirs")
    newer(root, "ALTER TABLE ranking ADD COLUMN mood TEXT", "CREATE TABLE mood (name TEXT)")
    before = listing(root)
    office = opened(root)
    yield office, before
    office.close()
    assert listing(root) == before


def test_every_action_only_reads_or_is_refused_where_nothing_may_be_written(shown):
    office, _ = shown
    assert set(office.actions) == READING | WRITING and not READING & WRITING


@pytest.mark.parametrize("action", sorted(WRITING | {"something-new"}))
def test_what_would_write_is_refused_with_what_to_do(shown, action):
    office, before = shown
    office.actions.setdefault("something-new", lambda body, rater: {})
    answer = client_of(office).post(f"/lab/{action}", json={"run": "0001-ppo", "seq": 1, "order": "stop"})
    office.actions.pop("something-new")
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "E_READ_ONLY"
    assert answer.json()["error"]["message"].endswith("Update the lab to go on with it.")
    assert listing(office.workspace.root) == before


ASKED = {
    "name": {"name": "Ana"},
    "curves": {"page": "ppo", "runs": ["0001-ppo"]},
    "runs-compare": {"runs": ["0001-ppo", "0002-reward"]},
    "compare-tally": {"a": "0001-ppo", "b": "base"},
    "reward-facts": {"run": "0002-reward"},
    **{name: {"run": "0001-ppo", "step": 1} for name in ("timeline", "samples")},
}
# Of a file that somebody has sent, and of a sample's tokens; both are refused where there are none.
OF_A_FILE = {"sft-data", "bring-look", "tokens"}


@pytest.mark.parametrize("action", sorted(READING))
def test_what_reads_is_answered_and_changes_nothing(shown, action):
    office, before = shown
    answer = client_of(office).post(f"/lab/{action}", json=ASKED.get(action, {}))
    assert answer.status_code == 200 or (action in OF_A_FILE and answer.status_code in (404, 422)), answer.text
    assert answer.status_code == 200 or answer.json()["error"]["code"] not in ("E_READ_ONLY", "E_NEWER_WORKSPACE")
    assert listing(office.workspace.root) == before


def test_runs_curves_comparisons_and_counts_are_there_as_they_were(shown):
    office, _ = shown
    client = client_of(office)
    ask = lambda name: client.post(f"/lab/{name}", json=ASKED.get(name, {})).json()  # noqa: E731
    assert [run["name"] for run in ask("runs-list")["runs"]] == ["0003-compare", "0002-reward", "0001-ppo"]
    assert ask("compare-results")["results"][0]["win_rate"] == 0.9
    assert ask("compare-tally")["wins"] == 1
    assert (ask("state")["rankings"], office.store.counts()["by_person"]) == (6, 6)
    assert "So." in client.post("/lab/samples", json={"run": "0001-ppo"}).text


@pytest.mark.parametrize("what", ["rankings?format=rankings", "rankings?format=trl", "adapter?run=0001-ppo"])
def test_files_can_be_taken_away(shown, what):
    office, before = shown
    answer = client_of(office).get(f"/lab/export/{what}")
    assert answer.status_code == 200 and answer.content
    assert listing(office.workspace.root) == before


def test_no_model_is_started_and_none_is_said_to_have_ended(shown):
    office, before = shown
    for order in (office.worker.start, office.worker.restart, office.worker.kill):
        order()
    state = client_of(office).post("/lab/state", json={}).json()
    assert (state["worker"], state["sentence"], state["next"]) == ("none", NO_MODEL, None)
    assert not office.worker.alive and listing(office.workspace.root) == before


def test_the_banner_is_over_every_page_and_each_page_says_what_is_missing(shown):
    office, _ = shown
    assert set(MISSING) == set(TABS) - {"runs"}
    made = str([block.props for block in build(office).blocks.values() if hasattr(block, "props")])
    made += str([getattr(block, "html_template", "") for block in build(office).blocks.values()])
    assert made.count("Only to look at.") == 1
    assert all(words in made for words in MISSING.values())


def test_a_workspace_that_may_be_written_to_has_no_banner(mine):
    assert banner(Workspace(mine).barred) == "" and unshown(None) == ""


def test_a_folders_name_is_no_markup():
    assert "<i>" not in banner(Barred(ReadOnly, "The workspace <i>x</i>"))


@pytest.mark.parametrize(
    "lost",
    ["ALTER TABLE ranking RENAME COLUMN rater TO who", "ALTER TABLE ranking RENAME TO judgement"],
)
def test_what_a_newer_lab_keeps_otherwise_is_missing_in_words(mine, lost):
    before = listing(newer(mine, lost))
    office = opened(mine)
    try:
        client = client_of(office)
        for name in ("state", "compare-tally"):
            answer = client.post(f"/lab/{name}", json=ASKED.get(name, {}))
            assert answer.status_code == 422 and answer.json()["error"]["code"] == "E_NEWER_WORKSPACE", answer.text
            assert "keeps this in another way" in answer.json()["error"]["message"]
        assert client.post("/lab/runs-list", json={}).json()["runs"]
        assert client.post("/lab/compare-results", json={}).json()["results"]
        assert client.get("/lab/export/rankings").json()["error"]["code"] == "E_NEWER_WORKSPACE"
    finally:
        office.close()
    assert listing(mine) == before


def test_rows_that_a_newer_lab_packs_otherwise_are_missing_in_words(mine):
    newer(mine, "DROP TRIGGER comparison_no_update", "UPDATE comparison SET candidates = '[[\"a\", 1]]'")
    with Workspace(mine, looking=True).store() as store, pytest.raises(NewerWorkspace, match="in another way"):
        store.rankings()


def test_a_fault_that_nobody_foresaw_is_put_down_to_the_newer_lab(shown):
    office, _ = shown
    office.actions["samples"], before = lambda body, rater: {}["new"], office.actions["samples"]
    answer = client_of(office).post("/lab/samples", json={})
    office.actions["samples"] = before
    assert answer.status_code == 500
    assert answer.json()["error"]["message"].startswith("The newer version of the lab keeps this in another way")


def left_in_the_middle(root: Path, way: str) -> None:
    """As a writer that is killed in a long commit leaves the database, with its first pages on the disk or in a log."""
    there = root.with_name("killed")
    shutil.copytree(root, there)
    with closing(sqlite3.connect(there / "lab.db", isolation_level=None)) as link:
        link.execute(f"PRAGMA journal_mode = {way}")
        link.execute("PRAGMA wal_autocheckpoint = 0")
        link.execute("PRAGMA cache_size = 1")
        link.execute("BEGIN")
        link.execute("CREATE TABLE mood (name TEXT)")
        link.executemany("INSERT INTO mood VALUES (?)", [("x" * 4000,)] * 50)
        if way == "WAL":
            link.execute(f"PRAGMA user_version = {VERSION + 1}")
            link.execute("COMMIT")
        for path in there.glob("lab.db*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, root / path.name)
    assert (root / f"lab.db-{'wal' if way == 'WAL' else 'journal'}").stat().st_size


def tables(store: Store) -> set[str]:
    return {name for [name] in store._read("SELECT name FROM sqlite_schema")}


def test_a_commit_that_was_cut_short_does_not_count_and_stays_where_it_is(mine):
    left_in_the_middle(newer(mine), "DELETE")
    before = listing(mine)
    with Workspace(mine, looking=True).store() as store:
        assert "mood" not in tables(store) and store.counts()["rankings"] == 6
    assert listing(mine) == before


def test_a_newer_lab_whose_number_stands_in_its_log_alone_is_known_and_the_log_stays(mine):
    left_in_the_middle(mine, "WAL")
    before = listing(mine)
    assert int.from_bytes((mine / "lab.db").read_bytes()[60:64], "big") == VERSION < version_of(mine / "lab.db")
    with Workspace(mine, looking=True).store() as store:
        assert "mood" in tables(store) and store.counts()["rankings"] == 6
    assert listing(mine) == before


def test_an_upgrade_that_was_cut_short_leaves_the_workspace_to_this_lab(mine):
    """The number of the newer tables is on the disk already, and a journal beside it says that it does not count."""
    left_in_the_middle(mine, "DELETE")
    raw = bytearray((mine / "lab.db").read_bytes())
    raw[60:64] = (VERSION + 1).to_bytes(4, "big")
    (mine / "lab.db").write_bytes(raw)
    assert version_of(mine / "lab.db") == VERSION
    with Workspace(mine).store() as store:
        assert store.recovered is None and store.counts()["rankings"] == 6


def test_a_store_that_may_not_be_written_to_says_why_and_reads_on(mine):
    before = listing(mine)
    with Store(mine / "lab.db", barred=BARRED) as store:
        with pytest.raises(ReadOnly, match="It cannot be written to"):
            store.add_prompts(["Why?"], "own")
        assert store.counts()["rankings"] == 6
    assert listing(mine) == before


def test_damage_where_it_cannot_be_mended_is_told_with_where_it_can(mine):
    raw = (mine / "lab.db").read_bytes()
    place = raw.index(b"Question 2?")
    (mine / "lab.db").write_bytes(raw[:place] + b"q" + raw[place + 1 :])
    with pytest.raises(Damaged, match=r"checksum.*open the copy: the lab puts damaged rows aside"):
        Store(mine / "lab.db", barred=BARRED)


def test_runs_without_a_database_can_be_looked_at_too(mine):
    (mine / "lab.db").unlink()
    with Store(mine / "lab.db", barred=BARRED) as store:
        assert store.counts()["rankings"] == 0 and store.requests_after(0) == []
    assert not (mine / "lab.db").exists()


def test_what_is_the_apps_own_goes_where_it_may_and_several_may_look(mine):
    with own_folder(Workspace(mine)) as own:
        assert own == mine
        key, host = words(Options(mine, mode="workshop", host="0.0.0.0"), own)
        marked = mark(own)
    before = listing(newer(mine))
    there = Workspace(mine, looking=True)
    with own_folder(there) as first, own_folder(there) as second:
        locks = [only_one(own, "http://127.0.0.1:7860/") for own in (first, second)]
        assert words(Options(mine, mode="workshop", host="0.0.0.0"), first) == (key, host) and mark(second) == marked
        for lock in locks:
            lock.release()
    assert not first.exists() and listing(mine) == before


def as_nobody(look) -> None:
    """Fails where `look`, done by a user who owns nothing, fails."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else, for whom the system guards a folder")

    def work() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        look()

    _, status = os.waitpid(fork(work), 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def foreign(whole):
    """A workspace that all may read, as only its owner may write to it, in a place that all can reach."""
    with tempfile.TemporaryDirectory(prefix="lab-test-") as folder:
        os.chmod(folder, 0o755)
        root = shutil.copytree(whole, Path(folder) / "theirs")
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield root


def test_whoever_may_not_write_looks_and_is_told_to_copy_it(foreign, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = listing(foreign)

    def look() -> None:
        there = Workspace(foreign, looking=True)
        assert there.barred.kind is ReadOnly and "you may not write there" in there.barred.why
        assert "copy its folder to a place where you may write" in there.barred.why
        assert [run.status() for run in there.runs()] == ["done"] * 3
        with there.store() as store:
            assert store.counts()["rankings"] == 6
        with pytest.raises(ReadOnly):
            Workspace(foreign)

    as_nobody(look)
    assert listing(foreign) == before and Workspace(foreign).barred is None


def test_a_lock_that_may_not_be_written_to_tells_whether_somebody_holds_it(foreign):
    (foreign / "worker.lock").touch(0o644)
    (foreign / "worker.json").write_text('{"pid": 1}')
    held = lambda: Workspace(foreign, looking=True).worker() is not None  # noqa: E731

    def free() -> None:
        assert not held()

    def taken() -> None:
        assert held()

    as_nobody(free)
    with Workspace(foreign).lock():
        as_nobody(taken)


def test_an_empty_folder_that_may_not_be_written_to_and_a_closed_one_are_refused_in_words(foreign):
    empty, closed = foreign.with_name("empty"), foreign.with_name("closed")
    empty.mkdir(0o755)
    closed.mkdir(0o700)

    def look() -> None:
        with pytest.raises(ReadOnly, match="holds no workspace to look at. Name a folder"):
            Workspace(empty, looking=True)
        with pytest.raises(BadFile, match="may not be read. Ask whoever owns it"):
            Workspace(closed, looking=True)

    as_nobody(look)


def test_a_database_that_only_its_owner_may_read_is_refused_in_words(foreign):
    (foreign / "lab.db").chmod(0o600)

    def look() -> None:
        with pytest.raises(BadFile, match=r"lab\.db cannot be read \(Permission denied\)"):
            Workspace(foreign, looking=True)

    as_nobody(look)


VERBS = """
import sys
from lab.__main__ import main
where, out = sys.argv[1:]
asked = ["--prompt", "How do I make pancakes?", "-n", "1", "--tokens", "4", "--threads", "1"]
for verb in (["export", "--out", "-"], ["sample", *asked], ["export", "--out", out], ["reward"], ["import", out]):
    status = main([*verb, "-w", where])
    print(f"\\n{verb[0]} ended with {status}", flush=True)
"""


def test_on_a_read_only_disk_verbs_that_read_go_on_and_the_others_say_what_to_do(mine, tmp_path):
    if why := why_no_mount(mine):
        pytest.skip(why)
    before, out = listing(mine), tmp_path / "rankings.jsonl"
    command = on_a_read_only_disk(mine, sys.executable, "-c", VERBS, str(mine), str(out))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    to_stdout, sampled, to_file, *refused = re.split(r"\n\w+ ended with (?=\d)", done.stdout)
    assert (done.returncode, [each[0] for each in (sampled, to_file, *refused)]) == (0, list("00022")), done.stderr
    assert to_stdout == out.read_text() and to_stdout.count("\n") == 6
    assert sampled[2:].startswith("1. ") and "6 rows written to stdout" in done.stderr
    words = r"E_READ_ONLY: The workspace mine cannot be written to \(its disk is read-only\).* open the copy with "
    assert len(re.findall(words, done.stderr)) == 2
    assert listing(mine) == before


def test_stdout_takes_the_rankings_or_the_json_of_the_result_but_not_both(mine, capsys):
    from lab.__main__ import main

    assert main(["export", "-w", str(mine), "--out", "-", "--json"]) == 2
    assert "would both write to stdout. Leave one of them out." in capsys.readouterr().err


def test_a_verb_that_writes_leaves_a_newer_labs_workspace_as_it_is(mine, capsys):
    from lab.__main__ import main

    before = listing(newer(mine))
    for verb in (["reward"], ["ppo"], ["rank"], ["sft"], ["resume", "0001-ppo"], ["sample", "--prompt", "Why?"]):
        assert main([*verb, "-w", str(mine)]) == 2
        assert re.match(r"E_NEWER_WORKSPACE: .* Update the lab to go on with it\.\n$", capsys.readouterr().err)
    assert main(["work", str(mine)]) == 2 and listing(mine) == before
