// The API page in a real browser, under a host name that is not localhost: it shows the nine actions, "try it out"
// reaches them, and nothing on it needs anything from elsewhere.
//
// SANDBOX names the file for scripts of the server, CHROMIUM the browser, PROFILE a new folder for it; a picture is
// left where PICTURE says, when it says.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const HOST = "norman.test";
const sandbox = JSON.parse(readFileSync(process.env.SANDBOX, "utf8"));
const { port } = new URL(sandbox.api_url);
const origin = `http://${HOST}:${port}`;

const browser = await chromium.launchPersistentContext(process.env.PROFILE, {
  executablePath: process.env.CHROMIUM,
  headless: true,
  viewport: { width: 1280, height: 1000 },
  // Every other name leads nowhere, so that a request to elsewhere cannot succeed unseen either.
  args: [
    `--host-resolver-rules=MAP ${HOST} 127.0.0.1, MAP * ~NOTFOUND`,
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

const elsewhere = [];
const failed = [];
const complaints = [];
browser.on("request", (request) => {
  const address = request.url();
  if (!address.startsWith(`${origin}/`) && !address.startsWith("data:")) elsewhere.push(address);
});
browser.on("requestfailed", (request) => failed.push(request.url()));
browser.on("response", (response) => {
  // What the page itself consists of; what an action answers is looked at below.
  if (response.status() >= 400) failed.push(`${response.status()} ${response.url()}`);
});
browser.on("console", (message) => {
  if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
});
browser.on("weberror", (error) => complaints.push(String(error.error())));

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  // A refusal by the content security policy is not always an error of the console.
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
    );
  });

  const shown = await page.goto(`${origin}/docs`);
  assert.equal(page.url(), `${origin}/docs/`);
  const policy = shown.headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'(;|$)/);
  await page.locator(".opblock").first().waitFor();
  assert.match(await page.title(), /norman-aks/);

  const paths = await page.locator(".opblock-summary-path").allInnerTexts();
  const listed = new Set(paths.map((path) => path.replaceAll("\u200b", "").trim()));
  const actions = [
    "aksCheckCredentials",
    "aksClusters",
    "aksLocations",
    "aksRegions",
    "aksUpgrades",
    "aksVMSizes",
    "aksVMSizesV2",
    "aksVersions",
    "aksVirtualNetworks",
  ];
  for (const action of actions) assert.ok(listed.has(`/meta/${action}`), `${action} is not on the page`);
  assert.equal(await page.locator(".errors-wrapper").count(), 0);
  if (process.env.PICTURE) await page.screenshot({ path: `${process.env.PICTURE}/list.png` });

  // A token, once for all operations.
  await page.locator(".btn.authorize").first().click();
  const dialog = page.locator(".dialog-ux");
  const bearer = dialog.locator(".auth-container", { has: page.locator("#auth-bearer-value") }).last();
  await bearer.locator("#auth-bearer-value").fill(sandbox.token_key);
  await bearer.locator("button.authorize").click();
  await dialog.locator("button.btn-done").first().click();

  // An action with a stored credential.
  const versions = await tried(page, "getAksVersions", async (block) => {
    await field(block, "cloudCredentialId").fill(sandbox.credential_id);
    await field(block, "region").fill(sandbox.location);
  });
  assert.equal(versions.status, 200, versions.text);
  assert.ok(JSON.parse(versions.text).includes(sandbox.kubernetes_version), versions.text);
  if (process.env.PICTURE) await page.screenshot({ path: `${process.env.PICTURE}/tried.png` });

  // And one with the credential of the example, which the built-in Azure knows.
  const locations = await tried(page, "postAksLocations", async () => {});
  assert.equal(locations.status, 200, locations.text);
  assert.ok(JSON.parse(locations.text).some((region) => region.name === sandbox.location), locations.text);
  if (process.env.PICTURE) await page.screenshot({ path: `${process.env.PICTURE}/posted.png`, fullPage: true });

  assert.deepEqual(await page.evaluate(() => globalThis.violations), []);
  assert.deepEqual(complaints, []);
  assert.deepEqual(failed, []);
  assert.deepEqual(elsewhere, []);
  console.log(`the page lists ${listed.size} paths, and its requests are answered`);
} finally {
  await browser.close();
}

/** The box of a parameter. */
function field(block, name) {
  return block.locator(`tr[data-param-name="${name}"] input`);
}

/** Opens an operation, fills it in, executes it: the status and body that the page then shows. */
async function tried(page, operation, fill) {
  const block = page.locator(`[id$="-${operation}"]`);
  await block.locator(".opblock-summary-control").click();
  await block.locator(".btn.execute").waitFor();
  await fill(block);
  await block.locator(".btn.execute").click();
  const live = block.locator(".live-responses-table");
  await live.waitFor();
  const status = await live.locator("tbody .response-col_status").first().innerText();
  const text = await live.locator(".highlight-code pre, pre.microlight").first().innerText();
  // What the page draws is looked at, not only what came over the wire.
  return { status: Number.parseInt(status, 10), text };
}
