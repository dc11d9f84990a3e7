"""Taking turns: nobody takes all there is."""

from __future__ import annotations

import asyncio

import pytest

from gateway.web.turns import Crowded, Turns


async def hold(turns: Turns, who: str, begun: list[str], go: asyncio.Event) -> None:
    async with turns.take(who):
        begun.append(who)
        await go.wait()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_who_has_much_under_way_waits_and_the_others_dont() -> None:
    turns, go = Turns(4, 2, waiting=3), asyncio.Event()
    begun: list[str] = []
    tasks = [asyncio.create_task(hold(turns, "greedy", begun, go)) for _ in range(5)]
    await settled()
    assert begun == ["greedy"] * 2
    with pytest.raises(Crowded):
        async with turns.take("greedy"):
            pass
    async with turns.take("modest"):
        pass
    go.set()
    await asyncio.gather(*tasks)
    assert begun == ["greedy"] * 5
    assert not turns._here
    assert not turns._gates, "who has left is forgotten"


async def test_whoever_keeps_others_busy_rests_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.turns.LONGEST_REST_S", 0.3)
    turns, loop = Turns(4, 1, waiting=9, rest=1e9), asyncio.get_running_loop()
    async with turns.take("greedy"):
        await asyncio.to_thread(lambda: None)
    begun = loop.time()
    async with turns.take("modest"):
        assert loop.time() - begun < 0.2
    async with turns.take("greedy"):
        pass
    assert loop.time() - begun >= 0.2, "its next turn waits"
    await asyncio.sleep(0.4)
    assert not turns._gates


async def test_where_nobody_may_wait_it_is_crowded_at_once() -> None:
    turns, go = Turns(3, 2), asyncio.Event()
    begun: list[str] = []
    tasks = [asyncio.create_task(hold(turns, who, begun, go)) for who in ("a", "a", "b")]
    await settled()
    for who in ("a", "b", "c"):
        with pytest.raises(Crowded):
            async with turns.take(who):
                pass
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    async with turns.take("c"):
        pass
    go.set()
    await asyncio.gather(*tasks[1:])
    assert not turns._gates
