"""Files in and out of the store: published data, every format that the lab writes, and a round trip without loss."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from brought import bring

from lab.errors import BadFile, BadInput, BadName, NoRows, NotFound
from lab.exchange import exported, import_file
from lab.formats import FORMATS, read
from lab.formats.files import rows
from lab.store import Candidate, Store

WRITTEN = [name for name, line in FORMATS.items() if line.writes]
TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "lab.db") as store:
        yield store


@pytest.fixture
def other(tmp_path):
    (tmp_path / "other").mkdir()
    with Store(tmp_path / "other" / "lab.db") as store:
        yield store


@pytest.fixture
def lived_in(store):
    """A store with ties, a skip, two raters on one comparison, an undo, an exclusion, tokens, a duel and an import."""
    first, second = store.add_prompts(["Why is snow white?\n\n\u00fc \U0001f427", "How?"], "own")
    texts = ["Because.", "", "  = 1 + 1", "Human: no"]
    four = [Candidate(text, "0004-ppo@20", 20, (n, 7), n != 2, 5, 0.9, n / 3) for n, text in enumerate(texts)]
    shown = store.add_comparison(first, four)
    store.rank(
        "a",
        shown,
        [[2], [0, 1], [3]],
        rater="ana",
        seconds=4.5,
        note="n",
        tags=["t"],
        shown=[3, 2, 1, 0],
        guess=[1, 2, 3, 4],
    )
    store.rank("b", shown, [[0], [1], [2], [3]], rater="simulated:helpful")
    store.withdraw("w", 1)
    store.rank("c", shown, [[3], [2], [1], [0]], rater="ana")
    store.rank("d", store.add_comparison(second, four[:2], "duel"), [], rater="bob")
    bring(store, [(TURNS, ["x", "y"], [[1], [0]], "from a file")], "cleo", "pairs.csv")
    store.exclude(2)
    return store


def test_the_labs_own_export_brings_a_whole_store_back(lived_in, other, tmp_path):
    path = tmp_path / "rankings.jsonl"
    assert exported(lived_in, path, "rankings").rows == 5
    found = import_file(other, path)
    assert (found.format, found.accepted, found.rejected, found.already) == ("rankings", 5, [], 0)
    assert other.rankings(withdrawn=True) == lived_in.rankings(withdrawn=True)
    assert other.counts() == lived_in.counts()
    assert {(text, source) for _, text, source in other.prompts()} == {(t, s) for _, t, s in lived_in.prompts()}
    again = tmp_path / "again.json"
    exported(other, again)
    assert json.loads(again.read_text("utf-8")) == [
        json.loads(line) for line in path.read_text("utf-8").split("\n") if line
    ]


def test_importing_the_own_export_twice_or_where_it_came_from_adds_nothing(lived_in, tmp_path):
    path = tmp_path / "rankings.jsonl"
    exported(lived_in, path)
    before = lived_in.rankings(withdrawn=True)
    for _ in range(2):
        found = import_file(lived_in, path)
        assert (found.accepted, found.already, found.rejected) == (0, 5, [])
    assert lived_in.rankings(withdrawn=True) == before


def test_margins_that_are_not_kept_are_told(other, tmp_path):
    rows = [{"prompt": "Hi", "chosen": "Hello.", "rejected": "No.", "margin": 2.5}, {"chosen": "a", "rejected": "b"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"prompt": "Yes?"} | row) + "\n" for row in rows))
    assert import_file(other, path).beside == "; 1 margins were not kept, for order alone counts"
    assert import_file(other, path).beside.startswith(", 2 were here already; 1 ")


def test_a_file_of_which_no_row_can_be_kept_is_refused_with_the_first_reasons(other, tmp_path):
    row = {"prompt": [{"role": "user", "content": "Hi"}], "candidates": [{"text": "a"}, {"text": "b"}]}
    path = tmp_path / "pairs.jsonl"
    path.write_text((json.dumps(row | {"order": [[0], [1]], "rater": "x" * 65}) + "\n") * 5)
    with pytest.raises(NoRows, match="None of the 5 rows.*row 1: A rater's name.*row 3.*Nothing was imported") as found:
        import_file(other, path)
    assert "row 4" not in str(found.value) and not other.counts()["rankings"]


def test_a_rater_that_can_be_none_is_refused_before_anything_is_read(other, tmp_path):
    with pytest.raises(BadName, match="1 to 64 visible characters"):
        import_file(other, tmp_path / "nowhere.jsonl", rater=" ")


def test_two_workspaces_of_one_workshop_can_be_put_together(lived_in, other, tmp_path):
    shown = other.add_comparison(
        other.add_prompts(["Own here?"], "own")[0], [Candidate("a", "sft"), Candidate("b", "sft")]
    )
    other.rank("here", shown, [[0], [1]], rater="dora")
    exported(lived_in, tmp_path / "x.jsonl")
    assert import_file(other, tmp_path / "x.jsonl").accepted == 5
    assert [each.key for each in other.rankings(withdrawn=True)][:4] == ["here", "a", "b", "c"]
    assert [replace(each, seq=0) for each in other.rankings()[1:]] == [
        replace(each, seq=0) for each in lived_in.rankings()
    ]


def test_rows_of_an_export_that_were_changed_by_hand_are_named_and_the_rest_is_taken(lived_in, other, tmp_path):
    path = tmp_path / "x.jsonl"
    exported(lived_in, path)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    spoiled = [
        rows[1] | {"key": "a"},  # line 6: the key of another ranking
        rows[2] | {"key": "new"},  # line 7: the same rater on the same candidates
        {key: value for key, value in rows[0].items() if key != "seconds"},
        rows[3] | {"key": "z", "seconds": "long"},
        rows[3] | {"key": "z", "comparison": {**rows[3]["comparison"], "pool": "elsewhere"}},
        rows[3] | {"key": "z", "candidates": [rows[3]["candidates"][0], {"text": "other"}]},
        rows[3] | {"key": "z", "rater": "x" * 65},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows * 4 + spoiled), "utf-8")
    found = import_file(other, path)
    assert (found.accepted, found.already) == (5, 15)
    assert [line for line, _ in found.rejected] == list(range(21, 28))
    for (_, reason), word in zip(
        found.rejected, ["key", "already", "seconds", "time", "pool", "ids", "name"], strict=True
    ):
        assert word in reason
    assert other.rankings(withdrawn=True) == lived_in.rankings(withdrawn=True)


def test_simulated_raters_go_out_among_people_only_where_asked_for(lived_in, tmp_path):
    def raters(format, whose=""):
        exported(lived_in, tmp_path / "out.jsonl", format, whose)
        return {record.rater for record in read(tmp_path / "out.jsonl", format).records}

    lived_in.exclude(2, False)
    lived_in.rank("e", lived_in.rankings()[0].comparison.id, [[1], [0], [2], [3]], rater="simulated:concise")
    people, simulated = {"ana", "bob", "cleo"}, {"simulated:helpful", "simulated:concise"}
    assert raters("rankings") == raters("rankings", "all") == people | simulated
    assert raters("rankings", "person") == people and raters("rankings", "cleo") == {"cleo"}
    rows = [
        exported(lived_in, tmp_path / "out.jsonl", "trl", whose).rows
        for whose in ("", "person", "simulated:concise", "all")
    ]
    assert rows[0] == rows[1] and rows[3] == rows[0] + 2 * rows[2] > rows[0]
    with pytest.raises(NoRows, match="None of the 5 rankings is by zoe"):
        exported(lived_in, tmp_path / "out.jsonl", "trl", "zoe")


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_that_is_written_can_be_imported_again(lived_in, other, tmp_path, name):
    path = tmp_path / f"out{FORMATS[name].endings[0]}"
    done = exported(lived_in, path, name)
    assert done.rows == len(rows(path))
    if name in ("messages", "verl_prompts"):
        with pytest.raises(NoRows, match="demonstrations|prompts without answers"):
            import_file(other, path, name)
        return
    found = import_file(other, path, name)
    assert found.format == name and found.accepted + found.already + len(found.rejected) == done.rows
    assert found.accepted > 0


def test_pair_formats_hold_every_pair_of_the_rankings_in_force(lived_in, tmp_path):
    done = exported(lived_in, tmp_path / "out.jsonl", "trl_conversational")
    pairs = [
        (record.prompt[-1].content, *record.candidates)
        for record in read(tmp_path / "out.jsonl", "trl_conversational").records
    ]
    texts = ["Because.", "", "  = 1 + 1", "Human: no"]
    ranked = [("Why is snow white?\n\n\u00fc \U0001f427", texts[a], texts[b]) for a in (3, 2, 1, 0) for b in range(a)]
    assert len(done.left_out) + len(pairs) == 6 + 1 + 1
    assert {pair for pair in ranked if "" not in pair[1:]} | {("Why?", "y", "x")} <= set(pairs)


@pytest.mark.parametrize(
    ("name", "format"),
    [("dpo_en_demo.json", "sharegpt"), ("v1_dpo_demo.jsonl", "llamafactory_v1"), ("hh_harmless_test.jsonl.gz", "hh")],
)
def test_published_preferences_become_rankings_once(source, store, name, format):
    path = source(name)
    records = read(path).records
    found = import_file(store, path, rater="published")
    assert (found.format, found.accepted, found.already) == (format, len(records), 0)
    rankings = store.rankings()
    assert len(rankings) == found.accepted and {each.rater for each in rankings} == {"published"}
    record, first = records[0], rankings[0]
    assert tuple(each.text for each in first.comparison.candidates) == record.candidates
    assert first.order == record.groups and first.comparison.pool == "import"
    assert first.comparison.prompt.endswith(record.prompt[-1].content)
    again = import_file(store, path, rater="published")
    assert (again.accepted, again.already) == (0, found.accepted) and len(store.rankings()) == len(rankings)


def test_demonstrations_are_not_rankings_and_the_message_says_what_to_do_with_them(source, store):
    with pytest.raises(NoRows, match="sft --data alpaca_en_demo.json"):
        import_file(store, source("alpaca_en_demo.json"))
    assert store.prompts() == []


def test_rows_left_out_are_named_by_their_line(store, tmp_path):
    path = tmp_path / "mixed.jsonl"
    row = {"prompt": "Why?", "chosen": "a", "rejected": "b"}
    rows = [row, row | {"rejected": "a"}, row | {"prompt": "\u200b"}, row | {"chosen": "x" * 200_001}, row]
    path.write_text(
        "\n".join(json.dumps(each) for each in rows) + "\n\n" + json.dumps(row | {"prompt": "How?"}), "utf-8"
    )
    found = import_file(store, path)
    assert [line for line, _ in found.rejected] == [2, 3, 4] and found.accepted == 3
    assert "empty" in found.rejected[1][1] and "200,001" in found.rejected[2][1]


def test_a_list_on_one_line_with_a_bad_row_is_imported_without_that_row(store, tmp_path):
    path = tmp_path / "minified.json"
    row = {"prompt": "Why?", "chosen": "a", "rejected": "b"}
    path.write_text(json.dumps([row | {"prompt": f"Why {n}?"} for n in range(8)] + [{"prompt": "How?"}, row]), "utf-8")
    found = import_file(store, path)
    assert found.accepted == 9 and [number for number, _ in found.rejected] == [9]


def test_rows_that_name_their_rater_keep_it(store, tmp_path):
    path = tmp_path / "plain.jsonl"
    row = {
        "prompt": [{"role": "user", "content": "Why?"}],
        "candidates": [{"text": "a"}, {"text": "b"}],
        "order": [[1], [0]],
    }
    one = {"prompt": row["prompt"], "candidates": [{"text": "alone"}], "order": []}
    skip = row | {"order": []}
    path.write_text("".join(json.dumps(each) + "\n" for each in [row | {"rater": "zoe"}, row, one, skip]), "utf-8")
    found = import_file(store, path, rater="file")
    assert [each.rater for each in store.rankings()] == ["zoe", "file", "file"]
    assert found.rejected == [(3, "one answer only: a demonstration, not a ranking")] and store.counts()["skips"] == 1


def test_what_cannot_be_exported_is_said_and_leaves_no_file(lived_in, other, tmp_path):
    cases = [
        ("x.csv", "rankings", BadFile),
        ("x.csv", "trl", BadFile),
        ("x.jsonl", "argilla", BadInput),
        ("x.jsonl", "?", BadInput),
    ]
    for name, format, problem in cases:
        with pytest.raises(problem):
            exported(lived_in, tmp_path / name, format)
        assert not (tmp_path / name).exists()
    with pytest.raises(NoRows, match="Rank page"):
        exported(other, tmp_path / "x.jsonl")
    with pytest.raises(BadFile, match="folder"):
        exported(lived_in, tmp_path / "no folder" / "x.jsonl")
    with pytest.raises(NotFound):
        import_file(other, tmp_path / "nowhere.jsonl")


def test_a_file_under_another_name_brings_nothing_new_and_a_row_that_stands_twice_in_it_counts_twice(store, tmp_path):
    rows = [{"prompt": "Why?", "chosen": "Because.", "rejected": "No."}] * 2
    rows.append({"prompt": "How?", "chosen": "So.", "rejected": "No."})
    for name, accepted in (("trl.jsonl", 3), ("trl (1).jsonl", 0), ("trl.jsonl", 0)):
        path = tmp_path / name
        path.write_text("\n".join(map(json.dumps, rows)))
        found = import_file(store, path)
        assert (found.accepted, found.already) == (accepted, 3 - accepted)


PAIRS = [{"prompt": f"Why {number}?", "chosen": "Because.", "rejected": "No."} for number in range(4)]


@pytest.fixture
def pairs(tmp_path):
    """A file of four preferences."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    return path


def said(rankings):
    """What rankings say, wherever they stand."""
    return [(each.comparison.prompt, each.comparison.candidates, each.order, each.rater) for each in rankings]


def test_an_import_is_taken_back_as_a_whole_and_nothing_else_is_and_comes_again_with_its_file(lived_in, pairs):
    before = lived_in.rankings()
    import_file(lived_in, pairs)
    full = lived_in.rankings()
    for time in range(3):
        batch, of_the_fixture = lived_in.imports()
        assert (batch.name, batch.brought, batch.standing) == ("pairs.jsonl", 4, 4)
        assert lived_in.take_back(batch.id) == 4
        assert lived_in.rankings() == before and lived_in.imports() == [of_the_fixture]
        with pytest.raises(NotFound, match="taken back already"):
            lived_in.take_back(batch.id)
        assert len(lived_in.rankings(withdrawn=True)) == 6 + 4 * (time + 1) - 1
        found = import_file(lived_in, pairs)
        assert (found.accepted, found.already) == (4, 0)
        assert said(lived_in.rankings()) == said(full)
        assert import_file(lived_in, pairs).already == 4
    assert lived_in.counts()["raters"] == {"ana": 1, "cleo": 1, "imported": 4}


def test_the_labs_own_export_is_taken_back_and_comes_again_with_times_and_marks(lived_in, other, tmp_path):
    path = tmp_path / "rankings.jsonl"
    for seq in (1, 5):  # also the first, which bears the mark of the import
        lived_in.exclude(seq)
    exported(lived_in, path)
    import_file(other, path)
    assert other.rankings(withdrawn=True) == lived_in.rankings(withdrawn=True)
    counts = other.counts()
    [batch] = other.imports()
    assert (batch.brought, batch.standing) == (5, 4)
    assert other.take_back(batch.id) == 4
    assert other.rankings() == [] and other.counts()["rankings"] == 0
    assert import_file(other, path).accepted == 4
    strip = [replace(each, seq=0, key="") for each in lived_in.rankings()]
    assert [replace(each, seq=0, key="") for each in other.rankings()] == strip
    assert other.counts() == counts


def test_what_a_person_undid_stays_undone_when_the_rest_of_its_import_comes_again(store, pairs):
    import_file(store, pairs)
    store.withdraw("by hand", 2)
    [batch] = store.imports()
    assert (batch.brought, batch.standing) == (4, 3) and store.take_back(batch.id) == 3
    found = import_file(store, pairs)
    assert (found.accepted, found.already) == (3, 1)
    assert [each.comparison.prompt for each in store.rankings()] == ["Why 0?", "Why 2?", "Why 3?"]


def test_of_two_imports_each_takes_back_its_own_and_an_import_that_adds_nothing_is_none(store, pairs, tmp_path):
    second = tmp_path / "se:cond.jsonl"
    second.write_text("".join(json.dumps(row | {"chosen": "So."}) + "\n" for row in PAIRS[:2]))
    for path in (pairs, second, pairs):
        import_file(store, path)
    newest, oldest = store.imports()
    assert (newest.name, newest.standing, oldest.name, oldest.standing) == ("se:cond.jsonl", 2, "pairs.jsonl", 4)
    store.take_back(oldest.id)
    assert [each.comparison.candidates[0].text for each in store.rankings()] == ["So.", "So."]
    assert store.imports() == [newest]


def import_unmarked(store, name, count, start=0):
    """As a lab did that kept no marks of imports."""
    rows = ((f"Why {n}?", ["Because.", "No."], [[0], [1]], "") for n in range(start, start + count))
    bring(store, rows, "imported", name)


def test_imports_of_a_lab_that_marked_none_are_listed_and_taken_back_and_come_again(store, pairs, tmp_path):
    marked = tmp_path / "marked.jsonl"
    import_unmarked(store, pairs.name, 4)
    import_unmarked(store, "other.csv", 2, start=10)
    marked.write_text(json.dumps({"prompt": "And?", "chosen": "Yes.", "rejected": "No."}) + "\n")
    import_file(store, marked)
    import_unmarked(store, "other.csv", 3, start=20)
    listed = [(each.name, each.brought, each.standing) for each in store.imports()]
    assert listed == [("other.csv", 3, 3), ("marked.jsonl", 1, 1), ("other.csv", 2, 2), ("pairs.jsonl", 4, 4)]
    *_, later, oldest = store.imports()
    store.withdraw("by hand", store.rankings()[-1].seq)
    assert store.take_back(oldest.id) == 4 and store.take_back(later.id) == 2
    with pytest.raises(NotFound):
        store.take_back(oldest.id)
    assert [(each.name, each.standing) for each in store.imports()] == [("other.csv", 2), ("marked.jsonl", 1)]
    assert import_file(store, pairs).accepted == 4
    assert [each.name for each in store.imports()] == ["pairs.jsonl", "other.csv", "marked.jsonl"]
    for batch in store.imports():
        store.take_back(batch.id)
    assert store.rankings() == []


def test_a_ranking_of_a_person_whose_key_says_import_is_no_import(lived_in):
    shown = lived_in.rankings()[0].comparison.id
    lived_in.rank("import:mine", shown, [[0], [1], [2], [3]], rater="dora")
    assert [each.name for each in lived_in.imports()] == ["pairs.csv"]


def test_no_key_of_an_undo_passes_for_an_import(lived_in):
    lived_in.withdraw("import:mine:1:9:everything", 3)
    assert [each.name for each in lived_in.imports()] == ["pairs.csv"]
    with pytest.raises(NotFound):
        lived_in.take_back("mine")
    assert len(lived_in.rankings()) == 3


def test_an_import_is_still_known_after_a_restart_and_its_mark_passes_the_check_of_every_row(tmp_path, pairs):
    with Store(tmp_path / "lab.db") as store:
        import_file(store, pairs)
    with Store(tmp_path / "lab.db") as store:
        assert store.recovered is None
        assert store.take_back(store.imports()[0].id) == 4
    with Store(tmp_path / "lab.db") as store:
        assert store.recovered is None and store.rankings() == []
