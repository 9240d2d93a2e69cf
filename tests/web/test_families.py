"""Families of an application's own: a Kanban board, by the messages of its documentation."""

import pytest

from gantt_tornado import Backend
from gantt_tornado.model.entities import Text
from gantt_tornado.model.family import family

pytestmark = pytest.mark.gen_test

COLUMN = family("column", {"label": Text}, ordered=True)
ROW = family("row", {"label": Text}, ordered=True)
CARD = family(
    "card",
    {"label": Text},
    {"column": "column", "row": "row"},
    optional=("row",),
    ordered=True,
    defaults={"label": ""},
)
LINK = family(
    "cardlink", {"relation": Text}, {"source": "card", "target": "card"}, path="links", word="link"
)
NOTE = family("note", {"text": Text}, {"task": "task"}, load=True)


@pytest.fixture
def gantt_families():
    return (COLUMN, ROW, CARD, LINK, NOTE)


async def add(gantt, path, **fields):
    answer = await gantt.post(f"/{path}", fields)
    assert answer.status == 200, answer.body
    return answer.json["id"]


async def labels(gantt, path="cards"):
    return [each["label"] for each in (await gantt.get(f"/{path}")).json]


@pytest.fixture
def board(gantt, io_loop):
    """Two columns, a row and three cards in the first column, by their labels."""

    async def board():
        ids = {name: await add(gantt, "columns", label=name) for name in ("To do", "Done")}
        ids["Row"] = await add(gantt, "rows", label="Row")
        for name in ("A", "B", "C"):
            ids[name] = await add(gantt, "cards", label=name, column=ids["To do"], row=ids["Row"])
        return ids

    return io_loop.run_sync(board)


async def test_a_board_is_loaded_as_lists_in_order(gantt, board):
    assert await labels(gantt, "columns") == ["To do", "Done"]
    cards = (await gantt.get("/cards")).json
    assert [(each["label"], each["column"], each["row"]) for each in cards] == [
        (name, board["To do"], board["Row"]) for name in ("A", "B", "C")
    ]


async def test_a_load_can_say_which_change_is_the_last(gantt, backend, board):
    answer = await gantt.get("/cards?seq=1")
    assert [each["label"] for each in answer.json["cards"]] == ["A", "B", "C"]
    assert answer.json["seq"] == str(backend.default.plan.position())
    again = await gantt.having(If_None_Match=answer.headers["Etag"]).get("/cards?seq=1")
    assert again.status == 304


async def test_the_documented_messages(gantt, listen, board):
    socket = await listen("cards", "columns", "links")
    id = await add(gantt, "cards", label="D", column=board["Done"])
    value = await socket.value("add-card")
    assert (value["card"]["id"], value["card"]["label"]) == (id, "D")
    answer = await gantt.put(f"/cards/{id}", {"label": "E"})
    assert answer.json["id"] == id
    assert (await socket.value("update-card"))["card"]["label"] == "E"
    move = {"id": id, "columnId": board["To do"], "rowId": board["Row"], "before": str(board["B"])}
    assert (await gantt.put(f"/cards/{id}/move", move)).json["id"] == id
    assert (await socket.value("update-card"))["card"]["column"] == board["To do"]
    assert await socket.value("move-card") == {
        "type": "move-card",
        "card": {"id": id, "column": board["To do"], "row": board["Row"]},
        "event": {"id": id, "column": board["To do"], "row": board["Row"]},
        "before": board["B"],
    }
    assert await labels(gantt) == ["A", "E", "B", "C"]
    link = await add(gantt, "links", source=id, target=board["A"], relation="relatesTo")
    assert (await socket.value("add-link"))["link"]["relation"] == "relatesTo"
    await gantt.delete(f"/links/{link}")
    assert (await socket.value("delete-link"))["link"] == {"id": link}
    await gantt.delete(f"/cards/{id}")
    assert (await socket.value("delete-card"))["card"] == {"id": id}


async def test_a_card_moves_before_another_and_behind_all(gantt, board):
    await gantt.put(f"/cards/{board['C']}/move", {"before": board["A"]})
    assert await labels(gantt) == ["C", "A", "B"]
    await gantt.put(f"/cards/{board['C']}/move", {"columnId": board["Done"]})
    assert await labels(gantt) == ["A", "B", "C"]
    await gantt.put(f"/columns/{board['Done']}/move", {"before": board["To do"]})
    assert await labels(gantt, "columns") == ["Done", "To do"]


async def test_several_cards_move_at_once(gantt, board):
    rows = [{"id": board[name], "before": board["A"]} for name in ("B", "C")]
    answer = await gantt.put("/cards/0/move", {"batch": rows})
    assert answer.json == {"id": 0, "refused": []}
    assert await labels(gantt) == ["B", "C", "A"]


async def test_a_new_card_may_come_before_another(gantt, board):
    sent = {"card": {"label": "D", "column": board["Done"]}, "before": board["B"]}
    assert (await gantt.post("/cards", sent)).status == 200
    assert await labels(gantt) == ["A", "D", "B", "C"]


async def test_a_place_that_is_none_is_refused(gantt, board):
    answer = await gantt.put(f"/cards/{board['A']}/move", {"before": [1]})
    assert (answer.status, answer.json["action"]) == (400, "error")
    answer = await gantt.put("/cards/0/move", {"batch": {"id": 1}})
    assert answer.status == 400
    answer = await gantt.put(f"/cards/{board['A']}/move", {"columnId": 777})
    assert answer.status == 409
    assert await labels(gantt) == ["A", "B", "C"]


async def test_a_column_takes_its_cards_and_their_links_and_undo_brings_all_back(gantt, board):
    await add(gantt, "links", source=board["A"], target=board["B"])
    before = [(await gantt.get(f"/{path}")).json for path in ("columns", "cards", "links")]
    change = (await gantt.delete(f"/columns/{board['To do']}")).json["change"]
    assert await labels(gantt) == [] and (await gantt.get("/links")).json == []
    assert (await gantt.post(f"/data/undo/{change}")).status == 200
    after = [(await gantt.get(f"/{path}")).json for path in ("columns", "cards", "links")]
    for each in (each for items in (*before, *after) for each in items):
        del each["_rev"], each["_mark"]
    assert after == before


async def test_a_card_points_to_what_is_there(gantt, board):
    answer = await gantt.post("/cards", {"label": "D"})
    assert (answer.status, "column" in answer.json["message"]) == (409, True)
    assert (await gantt.post("/cards", {"label": "D", "column": board["Row"]})).status == 409


async def test_two_who_edit_different_fields_both_keep_their_edit(gantt, colleague, board):
    item = (await gantt.get("/cards")).json[0]
    await gantt.put(f"/cards/{item['id']}", {**item, "label": "Mine"})
    await colleague.put(f"/cards/{item['id']}", {**item, "color": "red"})
    card = (await gantt.get("/cards")).json[0]
    assert (card["label"], card["color"]) == ("Mine", "red")


async def test_history_undo_and_replay(gantt, backend, listen, board):
    since = backend.default.plan.seq
    change = (await gantt.put(f"/cards/{board['A']}", {"label": "X"})).json["change"]
    (last, *_) = (await gantt.get(f"/data/history?item={board['A']}")).json["history"]
    assert (last["entity"], last["fields"]) == ("card", {"label": ["A", "X"]})
    socket = await listen("cards", since=since)
    values = [await socket.value() for _ in range(3)]
    assert [each["type"] for each in values] == ["add-card", "update-card", "move-card"]
    assert values[2]["before"] == board["B"]
    await gantt.post(f"/data/undo/{change}")
    assert (await socket.value("update-card"))["card"]["label"] == "A"


async def test_it_is_at_the_address_of_all_items_too(gantt, board):
    card = await gantt.add("card", label="D", column=board["Done"])
    assert (await gantt.put(f"/data/card/{card['id']}", {"label": "E"})).json["item"][
        "label"
    ] == "E"
    loaded = (await gantt.get("/data")).json
    assert "cards" not in loaded


async def test_what_is_to_be_loaded_with_the_plan_is_and_goes_with_its_task(gantt):
    task = await gantt.add("task", text="Dig")
    await add(gantt, "notes", text="Mind the pipe", task=task["id"])
    loaded = (await gantt.get("/data")).json
    assert [each["text"] for each in loaded["notes"]] == ["Mind the pipe"]
    await gantt.delete(f"/data/task/{task['id']}")
    assert (await gantt.get("/notes")).json == []


async def test_a_put_to_what_is_gone_says_so(gantt, board):
    await gantt.delete(f"/cards/{board['A']}")
    answer = await gantt.put(f"/cards/{board['A']}", {"label": "late"})
    assert (answer.status, answer.json["action"]) == (200, "deleted")


async def test_who_may_not_write_does_not(gantt, viewer, board):
    assert (await viewer.put(f"/cards/{board['A']}/move", {"before": board["B"]})).status == 403
    assert (await viewer.post("/cards", {"label": "x"})).status == 403
    assert (await viewer.get("/cards")).status == 200


async def test_a_project_has_a_board_of_its_own_and_a_copy_has_all_of_it(backend, gantt, board):
    await backend.create_project("copy", copy_of="default")
    copied = (await gantt.get("/p/copy/cards")).json
    assert [each["label"] for each in copied] == ["A", "B", "C"]
    await gantt.delete(f"/p/copy/columns/{board['To do']}")
    assert (await gantt.get("/p/copy/cards")).json == []
    assert await labels(gantt) == ["A", "B", "C"]


async def test_keys_that_grow_long_are_spaced_anew(gantt, backend, board):
    for turn in range(220):
        name = ("A", "B")[turn % 2]
        await backend.update("card", board[name], {"target": str(board["C"])})
    keys = [each["sortorder"] for each in (await gantt.get("/cards")).json]
    assert keys == sorted(keys) and max(map(len, keys)) <= 34
    assert await labels(gantt) == ["A", "B", "C"]


async def test_a_plan_that_is_read_anew_has_it_in_its_order(gantt, backend, board, logged_errors):
    await gantt.put(f"/cards/{board['C']}/move", {"before": board["A"]})
    backend.default._read_again()
    await backend.default._rereading
    assert await labels(gantt) == ["C", "A", "B"]


async def test_what_is_not_declared_any_more_stays_where_it_is(io_loop, gantt_config, tmp_path):
    config = gantt_config.model_copy(update={"database": f"sqlite:///{tmp_path}/board.db"})
    async with Backend(config, families=(COLUMN,)) as backend:
        id = (await backend.insert("column", {"label": "Kept"})).id
        await backend.update("column", id, {"label": "Still kept"})
    async with Backend(config) as backend:
        await backend.insert("resource", {"text": "Digger"})
        assert [change.entity.name for change in await backend.history()] == ["resource"]
    async with Backend(config, families=(COLUMN,)) as backend:
        assert backend.item("column", id)["label"] == "Still kept"
        assert len(await backend.history(item=id)) == 2
