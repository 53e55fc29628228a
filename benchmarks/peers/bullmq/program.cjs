// BullMQ on Node: one process, 100 jobs side by side, the last 1,000 finished jobs kept.
"use strict";

const path = require("node:path");
const environment = path.join(__dirname, "..", "..", ".env", "bullmq");
const { Queue, Worker } = require(require.resolve("bullmq", { paths: [environment] }));

const TEXT = "x".repeat(64);
const CONCURRENCY = 100;
const options = { removeOnComplete: { count: 1000 }, removeOnFail: { count: 1000 } };
const spec = JSON.parse(process.argv[2]);
const connection = { host: "127.0.0.1", port: spec.port, maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection });
const now = () => performance.now() / 1000;

const job = (i, text = TEXT) => ({ name: "noop", data: [i, 2, text], opts: options });

async function preload(n, size) {
  for (let i = 0; i < n; i += size) {
    await queue.addBulk(Array.from({ length: Math.min(size, n - i) }, (_, k) => job(i + k)));
  }
}

function checked(ran, n) {
  if (ran.length !== n || new Set(ran).size !== n) {
    throw new Error(`${ran.length} runs of ${new Set(ran).size} jobs, of ${n}`);
  }
}

// Until the condition holds; fails after `within` seconds.
async function until(condition, within) {
  const end = now() + within;
  while (!condition()) {
    if (now() > end) throw new Error(`not done within ${within} s`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function throughput() {
  await preload(spec.n, 1000);
  const ran = [];
  let first = 0, last = 0, completed = 0;
  const work = async ({ data: [i] }) => { ran.push(i); };
  const worker = new Worker("bench", work, { connection, concurrency: CONCURRENCY, autorun: false });
  worker.on("active", () => { first = first || now(); });
  worker.on("completed", () => { completed += 1; last = now(); });
  worker.run();
  await until(() => completed >= spec.n, spec.within);
  checked(ran, spec.n);
  return { rate: (spec.n - 1) / (last - first) };
}

async function enqueue() {
  await queue.add("noop", [0, 2, TEXT], options);        // the first one connects
  const start = now();
  if (spec.size === 1) {
    for (let i = 0; i < spec.n; i += 1) await queue.add("noop", [i, 2, TEXT], options);
  } else {
    await preload(spec.n, spec.size);
  }
  const seconds = now() - start;
  const waiting = await queue.getWaitingCount();
  if (waiting !== spec.n + 1) throw new Error(`${waiting} jobs are queued, not ${spec.n + 1}`);
  return { rate: spec.n / seconds };
}

async function start() {
  const ages = [];
  const work = async ({ data: [, , text] }) => { ages.push(now() - Number(text)); };
  const worker = new Worker("bench", work, { connection, concurrency: CONCURRENCY });
  await worker.waitUntilReady();
  for (let i = 0; i < spec.n + 5; i += 1) {
    const before = ages.length;
    await queue.add("noop", [i, 2, String(now())], options);
    await until(() => ages.length > before, 30);
    await new Promise((resolve) => setTimeout(resolve, spec.pause * 1000));
  }
  const sorted = ages.slice(5).sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] * 1e6;
  return { p50_us: at(0.5), p99_us: at(0.99) };
}

({ throughput, enqueue, start })[spec.case]()
  .then((report) => { console.log(JSON.stringify(report)); process.exit(0); })
  .catch((error) => { console.error(error); process.exit(1); });
