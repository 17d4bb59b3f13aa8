/** What the compiler has to refuse: were the types of the document loose, these lines would be errors themselves. */
import createClient from "openapi-fetch";

import type { components, paths } from "./api.d.ts";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1" });

export async function refusedByTheCompiler(): Promise<void> {
  // @ts-expect-error there is no such path
  await client.GET("/api/v1/jobz");
  // @ts-expect-error the job's id is missing
  await client.GET("/api/v1/jobs/{job_id}", { params: { path: {} } });
  // @ts-expect-error an order has a context
  await client.POST("/api/v1/videos/generate", { body: { topic: "t" } });
  // @ts-expect-error no field is called so
  const order: components["schemas"]["CreateJobRequest"] = { topic: "t", context: "c", colour: "red" };
  // @ts-expect-error no quality is called so
  await client.POST("/api/v1/videos/generate", { body: { topic: "t", context: "c", quality: "lowest" } });
  const { error } = await client.POST("/api/v1/videos/generate", { body: order });
  // @ts-expect-error nobody is refused for that reason
  if (error?.error.details.reason === "FORGOTTEN") return;
  const status: components["schemas"]["JobStatus"] = "queued";
  // @ts-expect-error a job is in no such state
  if (status satisfies string === "sleeping") return;
}
