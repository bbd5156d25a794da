import { describe, expect, it } from "vitest";
import { FrameQueue } from "@/lib/frame-queue";

function setUp() {
  const frames: (() => void)[] = [];
  const batches: (readonly number[])[] = [];
  const queue = new FrameQueue<number>(
    (items) => batches.push(items),
    (run) => {
      frames.push(run);
      return () => frames.splice(frames.indexOf(run), 1);
    },
  );
  const paint = () => {
    for (const run of frames.splice(0)) run();
  };
  return { queue, frames, batches, paint };
}

describe("frame queue", () => {
  it("hands a burst on in one frame, in order", () => {
    const { queue, frames, batches, paint } = setUp();
    for (let n = 0; n < 1_000; n += 1) queue.push(n);
    expect(frames).toHaveLength(1);
    paint();
    expect(batches).toEqual([Array.from({ length: 1_000 }, (_, n) => n)]);
    paint();
    expect(batches).toHaveLength(1);
  });

  it("hands nothing on after it was stopped", () => {
    const { queue, batches, paint } = setUp();
    queue.push(1);
    queue.stop();
    paint();
    expect(batches).toEqual([]);
    queue.push(2);
    paint();
    expect(batches).toEqual([[2]]);
  });
});
