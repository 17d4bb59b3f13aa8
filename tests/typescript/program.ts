/**
 * What a client of t2m does, by types made of the API document alone: is refused and reads why, orders a video, follows
 * its events over a break, pages through its jobs, downloads. Says what it saw as JSON.
 */
import createClient from "openapi-fetch";

import type { components, paths } from "./api.d.ts";

type Schemas = components["schemas"];
type Reason = Schemas["ErrorReason"];
type JobEvent = Schemas["JobEvent"];

const { T2M_URL: baseUrl, T2M_API_KEY: key, T2M_ORDER: order } = process.env;
if (!baseUrl || !key || !order) throw new Error("T2M_URL, T2M_API_KEY and T2M_ORDER are needed");
const client = createClient<paths>({ baseUrl, headers: { "X-API-Key": key } });

/** Reads Server-Sent Events of a body (WHATWG HTML §9.2), as far as we send them. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<JobEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data) yield JSON.parse(data) as JobEvent;
    }
  }
}

/** Every order is refused that has no topic. The compiler knows which reasons there are. */
async function refusal(): Promise<{ reason: Reason; fields: string[] }> {
  const { data, error, response } = await client.POST("/api/v1/videos/generate", { body: { topic: "", context: "x" } });
  if (data || response.status !== 422) throw new Error(`not refused: ${response.status}`);
  const { reason, violations } = error.error.details;
  switch (reason) {
    case "VALIDATION_FAILED":
    case "UNSUPPORTED":
      return { reason, fields: (violations ?? []).map((violation) => violation.field) };
    default:
      throw new Error(`no reason for a 422: ${reason}`);
  }
}

async function submitted(body: Schemas["CreateJobRequest"]): Promise<Schemas["Job"]> {
  const again = { body, params: { header: { "Idempotency-Key": crypto.randomUUID() } } };
  const { data, error } = await client.POST("/api/v1/videos/generate", again);
  if (!data) throw new Error(error.error.message);
  const repeated = await client.POST("/api/v1/videos/generate", again);
  if (repeated.data?.job_id !== data.job_id) throw new Error("the same key made another job");
  return data;
}

/** The seqs of all events, and the last status; the connection is given up once, in the middle. */
async function followed(job_id: string): Promise<{ seqs: number[]; status: Schemas["JobStatus"] | undefined }> {
  const seqs: number[] = [];
  let status: Schemas["JobStatus"] | undefined;
  for (let connection = 1; ; connection++) {
    const { data, response } = await client.GET("/api/v1/jobs/{job_id}/events", {
      params: { path: { job_id }, header: { "Last-Event-ID": seqs.at(-1) ?? 0 } },
      parseAs: "stream",
    });
    if (response.status === 204) return { seqs, status };
    if (!data) throw new Error(`no events: ${response.status}`);
    for await (const event of events(data)) {
      seqs.push(event.seq);
      status = event.status?.status ?? status;
      if (connection === 1 && seqs.length === 2) break;
    }
  }
}

/** Ids of all jobs, a page of one at a time. */
async function listed(): Promise<string[]> {
  const ids: string[] = [];
  let page_token = "";
  do {
    const { data, error } = await client.GET("/api/v1/jobs", { params: { query: { page_size: 1, page_token } } });
    if (!data) throw new Error(error.error.message);
    ids.push(...data.jobs.map((job) => job.job_id));
    page_token = data.next_page_token;
  } while (page_token);
  return ids;
}

async function downloaded(job_id: string): Promise<{ type: string | null; bytes: number; part: number }> {
  const path = { job_id };
  const { data, response } = await client.GET("/api/v1/videos/jobs/{job_id}/download", {
    params: { path },
    parseAs: "arrayBuffer",
  });
  if (!data) throw new Error(`no video: ${response.status}`);
  const part = await client.GET("/api/v1/videos/jobs/{job_id}/download", {
    params: { path, header: { Range: "bytes=4-7" } },
    parseAs: "text",
  });
  if (part.response.status !== 206 || part.data !== "ftyp") throw new Error(`no part of an MP4: ${part.response.status}`);
  return { type: response.headers.get("content-type"), bytes: data.byteLength, part: part.response.status };
}

const refused = await refusal();
const orders = JSON.parse(order) as Schemas["CreateJobRequest"];
const first = await submitted(orders);
const second = await submitted({ ...orders, priority: "low" });
const watched = await followed(first.job_id);
await client.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: second.job_id } } });
console.log(JSON.stringify({
  refused,
  ordered: [first.job_id, second.job_id],
  watched,
  listed: await listed(),
  downloaded: await downloaded(first.job_id),
}));
