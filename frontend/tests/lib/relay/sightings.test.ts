import { beforeEach, describe, expect, it } from "vitest";
import { AGAIN_WITHIN_MS, Sightings } from "@/lib/relay/sightings";
import { FakeWorld } from "../../fakes/world";

let world: FakeWorld;
let online: boolean;
let batches: (readonly string[])[];
let sightings: Sightings;

beforeEach(() => {
  world = new FakeWorld();
  online = true;
  batches = [];
  sightings = new Sightings(world, ({ hints }) => {
    if (online) batches.push(hints);
    return online;
  });
  sightings.attach();
  sightings.connected();
});

describe("sightings", () => {
  it("reports what was in sight for a second, together and once", () => {
    sightings.inSight("a");
    sightings.inSight("b");
    world.advance(999);
    expect(batches).toEqual([]);
    world.advance(1_001);
    expect(batches).toEqual([["a", "b"]]);
    sightings.outOfSight("a");
    sightings.inSight("a");
    world.advance(10_000);
    expect(batches).toHaveLength(1);
    expect(world.timers).toBe(0);
  });

  it("doesn't report what went by faster than that", () => {
    sightings.inSight("a");
    world.advance(900);
    sightings.outOfSight("a");
    world.advance(10_000);
    expect(batches).toEqual([]);
  });

  it("counts only while the page can be seen, from then on anew", () => {
    sightings.inSight("a");
    world.advance(600);
    world.emit("hidden");
    sightings.inSight("b");
    world.advance(10_000);
    expect(batches).toEqual([]);
    world.emit("visible");
    world.advance(999);
    expect(batches).toEqual([]);
    world.advance(1_001);
    expect(batches.flat().sort()).toEqual(["a", "b"]);
  });

  it("never names more than a hundred at once", () => {
    for (let n = 0; n < 250; n += 1) sightings.inSight(`${n}`);
    world.advance(5_000);
    expect(batches.map(({ length }) => length)).toEqual([100, 100, 50]);
  });

  it("keeps what was seen offline for the next connection", () => {
    sightings.disconnected();
    online = false;
    sightings.inSight("a");
    world.advance(60_000);
    online = true;
    sightings.connected();
    world.advance(1_000);
    expect(batches).toEqual([["a"]]);
  });

  it("says again what was said shortly before the connection broke, and nothing older", () => {
    sightings.inSight("old");
    world.advance(2_000);
    world.advance(AGAIN_WITHIN_MS);
    sightings.inSight("new");
    world.advance(2_000);
    sightings.disconnected();
    world.advance(10 * AGAIN_WITHIN_MS);
    sightings.connected();
    world.advance(1_000);
    expect(batches).toEqual([["old"], ["new"], ["new"]]);
  });
});
