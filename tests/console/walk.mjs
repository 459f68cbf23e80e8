// Walks through the console in Chromium, against gates that tests/it/console.rs runs. Each step prints a line; one that
// fails ends the walk with an error.
//
// The first argument is JSON: `chromium` (a program), `admin` and `gate` (host:port), `host` (of the calls), `token` (of
// the console), `bearers` (tokens by name), `off` (the admin address of a gate that tells no names), `shots` (a folder).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const given = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };
const CANCEL = "/v1/projects/demo/locations/l/operations/o:cancel";

/// Calls the gate; gives the id of the request.
const call = (who, method = "POST", path = CANCEL, more = {}) =>
  new Promise((resolve, reject) => {
    const [hostname, port] = given.gate.split(":");
    const headers = { host: given.host, ...more };
    if (who) headers.authorization = `Bearer ${given.bearers[who]}`;
    const request = http.request({ hostname, port, method, path, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.headers["x-request-id"]));
    });
    request.on("error", reject);
    request.end();
  });

const browser = await chromium.launch({ executablePath: given.chromium, args: ["--no-sandbox"] });

/// A page whose mistakes are collected: what the browser complains of, and what its policy blocks.
const open = async (options = {}) => {
  const context = await browser.newContext({ viewport: WIDE, ...options });
  const page = await context.newPage();
  page.mistakes = [];
  page.on("console", (message) => {
    // An answer of 401 to a wrong token is one of the steps.
    const isExpected = message.text().includes("status of 401") || message.text().includes("status of 404");
    if (message.type() === "error" && !isExpected) page.mistakes.push(message.text());
  });
  page.on("pageerror", (error) => page.mistakes.push(String(error)));
  page.on("dialog", (dialog) => {
    page.mistakes.push(`a dialog opened: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (new URL(request.url()).host !== new URL(page.base).host) page.mistakes.push(`outside: ${request.url()}`);
  });
  page.base = `http://${given.admin}`;
  return page;
};

const accessible = async (page, where) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html + " " + node.failureSummary).join("\n  ")}`);
  assert.deepEqual(told, [], `axe-core about ${where}`);
};

const fits = async (page, where) => {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= room, `${where} is ${wide} wide and has room for ${room}`);
};

/// The looks of a page: at both widths, in both colours.
const looks = async (page, name) => {
  for (const [scheme, size] of [["light", WIDE], ["light", NARROW], ["dark", WIDE], ["dark", NARROW]]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize(size);
    const where = `${name} at ${size.width}, ${scheme}`;
    await fits(page, where);
    await accessible(page, where);
    await page.screenshot({ path: `${given.shots}/${name}-${size.width}-${scheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(WIDE);
};

const step = async (name, work) => {
  await work();
  console.log(`ok ${name}`);
};

const rows = (page) => page.locator("#decisions tbody tr");
const secret = ["bob@example.com", "operations.cancel", "IAM_PERMISSION_DENIED", "CancelOperation", "operations.googleapis"];

const page = await open();

await step("names are told after login alone", async () => {
  await call("ana");
  await call("bob");
  await call("bob");
  await call(null);
  await page.goto(page.base);
  const before = await page.content();
  for (const name of secret) assert.ok(!before.includes(name), name);
  await looks(page, "logged-out");
  await page.getByLabel("Token").fill("wrong-and-not-the-token");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("This is not the token.").waitFor();
  await accessible(page, "a wrong token");
  await page.getByLabel("Token").fill(given.token);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Denied" }).waitFor();
  await page.locator("#denied").getByText("bob@example.com").first().waitFor();
  const [cookie, ...more] = await page.context().cookies();
  assert.deepEqual(more, []);
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
});

await step("every section is there", async () => {
  const names = ["Changes", "Denied", "Decisions", "Find", "Keys", "Backends", "Cancels", "Room", "Certificates", "Services"];
  for (const name of names) {
    await page.getByRole("region", { name, exact: true }).waitFor();
    await page.getByRole("navigation").getByRole("link", { name, exact: true }).waitFor();
  }
  assert.match(await page.title(), /^Ready/);
});

await step("the list goes on without a reload", async () => {
  await page.locator("#live-state").getByText("Live").waitFor();
  await page.evaluate(() => (window.stays = true));
  const count = await rows(page).count();
  await call("bob", "POST", CANCEL.replace("o:", "live:"));
  await rows(page).getByText("operations/live").waitFor();
  assert.equal(await page.evaluate(() => window.stays), true);
  assert.equal(await rows(page).count(), count + 1);
  await page.getByLabel("Pause").check();
  await page.locator("#live-state").getByText("Paused.").waitFor();
  await call("bob", "POST", CANCEL.replace("o:", "paused:"));
  await page.waitForTimeout(1500);
  assert.equal(await rows(page).getByText("operations/paused").count(), 0);
  await page.getByLabel("Pause").uncheck();
  await rows(page).getByText("operations/paused").waitFor();
});

await step("what a client writes is text", async () => {
  const mark = '<script>alert("x")<img src=x onerror=alert(1)>';
  await call("mallory");
  await call("bob", "GET", `/v1/${encodeURIComponent(mark)}`);
  await call("bob", "GET", "/v1/x", { "user-agent": mark });
  await rows(page).getByText(encodeURIComponent("<script>").slice(0, 9)).first().waitFor();
  await page.reload();
  const html = await page.content();
  assert.ok(!html.includes("<script>alert") && !html.includes("<img"), "not escaped");
});

await step("the first page reads well at both widths", async () => {
  await page.goto(page.base);
  await page.locator("#live-state").getByText("Live").waitFor();
  await page.locator("#services summary").first().click();
  await looks(page, "console");
});

await step("decisions are filtered, and the filter holds for those that come", async () => {
  await page.goto(page.base);
  await page.getByRole("search").getByLabel("Caller").fill("bob");
  await page.keyboard.press("Enter");
  await page.waitForURL(/principal=bob/);
  await page.locator("#live-state").getByText("Live").waitFor();
  const shown = async () => rows(page).locator("td[data-label=Caller]").allInnerTexts();
  assert.ok((await shown()).length > 0 && (await shown()).every((who) => who.includes("bob")));
  await call("ana", "POST", CANCEL.replace("o:", "others:"));
  await call("bob", "POST", CANCEL.replace("o:", "filtered:"));
  await rows(page).getByText("operations/filtered").waitFor();
  assert.equal(await rows(page).getByText("operations/others").count(), 0);
  await page.getByRole("link", { name: "Show all" }).click();
  await rows(page).getByText("operations/others").waitFor();
});

await step("a click on a denial explains it", async () => {
  await page.goto(page.base);
  await page.locator("#denied").getByRole("row").filter({ hasText: "IAM_PERMISSION_DENIED" }).first().getByRole("link", { name: "Why" }).click();
  await page.locator(".sentence").getByText("Denied: IAM_PERMISSION_DENIED").waitFor();
  const told = await page.getByRole("region", { name: "Text of the explanation" }).innerText();
  assert.match(told, /What would allow it/);
  await page.getByRole("region", { name: "What would allow it" }).getByText("organizations/7/roles/operationsCanceller").waitFor();
  await looks(page, "explanation");
});

await step("questions are asked by the keyboard", async () => {
  await page.goto(page.base);
  await page.getByRole("textbox", { name: /^Caller user:ana/ }).focus();
  await page.keyboard.type("user:bob@example.com");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.type("POST");
  await page.keyboard.press("Tab");
  await page.keyboard.type(`http://${given.host}${CANCEL}`);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "May they call it?" }).waitFor();
  assert.match(await page.locator("main").innerText(), /Denied[\s\S]*user:bob@example.com may not/);
  await accessible(page, "an answer");
  await page.goto(page.base);
  await page.getByLabel("Permission").fill("cloudaicompanion.operations.cancel");
  await page.getByLabel("Resource").fill("projects/demo");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Who can?", level: 1 }).waitFor();
  assert.match(await page.locator("main").innerText(), /user:lea@example.com/);
  await fits(page, "who can");
  await accessible(page, "who can");
  await page.goto(`${page.base}/console/decision?id=absent`);
  await page.getByText("does not remember a request").waitFor();
  await accessible(page, "a refusal");
});

await step("the keyboard reaches everything, in the order of the page, and shows where it is", async () => {
  await page.goto(page.base);
  await page.getByLabel("Pause").check();
  await page.keyboard.press("Tab");
  await page.evaluate(() => document.body.focus());
  await page.goto(page.base);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  const all = await page.locator("a[href]:visible, button:visible, input:visible, select:visible, summary:visible, pre:visible").count();
  const tops = [];
  const seen = new Set();
  for (let press = 0; press < all + 5; press += 1) {
    const at = await page.evaluate(() => {
      const one = document.activeElement;
      if (one === document.body) return null;
      one.dataset.seen ??= String(Math.random());
      const { outlineStyle, outlineWidth } = getComputedStyle(one);
      const { top, height } = one.getBoundingClientRect();
      return { key: one.dataset.seen, name: one.outerHTML.slice(0, 90), top: top + scrollY, height, outline: outlineStyle !== "none" && outlineWidth !== "0px" };
    });
    if (!at) break;
    assert.ok(at.outline && at.height > 0, `no focus is seen: ${at.name}`);
    if (!seen.has(at.key)) tops.push(at.top);
    seen.add(at.key);
    await page.keyboard.press("Tab");
  }
  assert.ok(seen.size >= all - 1, `${seen.size} of ${all} are reached`);
  // From top to bottom; what is side by side may differ by a line.
  for (let place = 2; place < tops.length; place += 1) {
    assert.ok(tops[place] > tops[place - 1] - 120, `the focus jumps up at ${place}: ${tops[place - 1]} to ${tops[place]}`);
  }
});

await step("nothing needs a script", async () => {
  const plain = await open({ javaScriptEnabled: false });
  await plain.goto(plain.base);
  await plain.getByLabel("Token").fill(given.token);
  await plain.keyboard.press("Enter");
  await plain.locator("#decisions").getByText("bob@example.com").first().waitFor();
  assert.equal(await plain.getByLabel("Pause").isVisible(), false);
  await plain.locator("#decisions").getByRole("link", { name: "Why" }).first().click();
  await plain.getByRole("heading", { name: "Why was this request decided so?" }).waitFor();
  await plain.context().close();
});

await step("a session ends with its logout", async () => {
  await page.goto(page.base);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in to see names" }).waitFor();
  const after = await page.content();
  for (const name of secret) assert.ok(!after.includes(name), name);
  assert.deepEqual(await page.context().cookies(), []);
});

await step("a gate that tells no names has a console without names", async () => {
  const off = await open();
  off.base = `http://${given.off}`;
  await off.goto(off.base);
  await off.getByText("are not told at this address").waitFor();
  const html = await off.content();
  for (const name of secret) assert.ok(!html.includes(name), name);
  await accessible(off, "a console without names");
  assert.deepEqual(off.mistakes, []);
});

await step("the browser complained of nothing", async () => assert.deepEqual(page.mistakes, []));
await browser.close();
