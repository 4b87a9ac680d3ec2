// Checks the API page in a real browser, with a host name other than localhost: it lists the nine actions, "Try it out" calls
// them, and the page loads nothing from other hosts.
//
// Variables: SANDBOX is the path of the server's sandbox.json, CHROMIUM the browser, PROFILE a new directory for it; if PICTURE
// is set, screenshots are saved in that directory.

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
  // No other name resolves, so that no request to another host can succeed.
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

const foreignUrls = [];
const failed = [];
const consoleErrors = [];
browser.on("request", (request) => {
  const address = request.url();
  if (!address.startsWith(`${origin}/`) && !address.startsWith("data:")) foreignUrls.push(address);
});
browser.on("requestfailed", (request) => failed.push(request.url()));
browser.on("response", (response) => {
  // The files of the page; the responses of actions are checked below.
  if (response.status() >= 400) failed.push(`${response.status()} ${response.url()}`);
});
browser.on("console", (message) => {
  if (message.type() === "error" || message.type() === "warning") consoleErrors.push(message.text());
});
browser.on("weberror", (error) => consoleErrors.push(String(error.error())));

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  // Not every violation of the content security policy is reported in the console.
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

  // Authorize once for all operations.
  await page.locator(".btn.authorize").first().click();
  const dialog = page.locator(".dialog-ux");
  const bearer = dialog.locator(".auth-container", { has: page.locator("#auth-bearer-value") }).last();
  await bearer.locator("#auth-bearer-value").fill(sandbox.token_key);
  await bearer.locator("button.authorize").click();
  await dialog.locator("button.btn-done").first().click();

  // An action with a stored credential.
  const versions = await execute(page, "getAksVersions", async (block) => {
    await field(block, "cloudCredentialId").fill(sandbox.credential_id);
    await field(block, "region").fill(sandbox.location);
  });
  assert.equal(versions.status, 200, versions.text);
  assert.ok(JSON.parse(versions.text).includes(sandbox.kubernetes_version), versions.text);
  if (process.env.PICTURE) await page.screenshot({ path: `${process.env.PICTURE}/tried.png` });

  // An action with the credential of the example, which the built-in Azure accepts.
  const locations = await execute(page, "postAksLocations", async () => {});
  assert.equal(locations.status, 200, locations.text);
  assert.ok(JSON.parse(locations.text).some((region) => region.name === sandbox.location), locations.text);
  if (process.env.PICTURE) await page.screenshot({ path: `${process.env.PICTURE}/posted.png`, fullPage: true });

  assert.deepEqual(await page.evaluate(() => globalThis.violations), []);
  assert.deepEqual(consoleErrors, []);
  assert.deepEqual(failed, []);
  assert.deepEqual(foreignUrls, []);
  console.log(`the page lists ${listed.size} paths, and its requests are answered`);
} finally {
  await browser.close();
}

/** The input field of a parameter. */
function field(block, name) {
  return block.locator(`tr[data-param-name="${name}"] input`);
}

/** Opens an operation, fills in its parameters and executes it; returns the displayed status and body. */
async function execute(page, operation, fill) {
  const block = page.locator(`[id$="-${operation}"]`);
  await block.locator(".opblock-summary-control").click();
  await block.locator(".btn.execute").waitFor();
  await fill(block);
  await block.locator(".btn.execute").click();
  const live = block.locator(".live-responses-table");
  await live.waitFor();
  const status = await live.locator("tbody .response-col_status").first().innerText();
  const text = await live.locator(".highlight-code pre, pre.microlight").first().innerText();
  // Read from the page, not from the network.
  return { status: Number.parseInt(status, 10), text };
}
