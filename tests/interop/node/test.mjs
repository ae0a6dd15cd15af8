// The story's main points, played by the JavaScript client: node test.mjs WS-URL TOKEN PROTO PROTOBUF
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { loadApi, Peer, plain, Session } from './aside.mjs';

const [url, token, protoFolder, protobufFolder] = process.argv.slice(2);
const api = loadApi(protoFolder, protobufFolder);
const PAGE = '/aside.v1.PageService/', SETTINGS = '/aside.v1.PageSettingsService/', MESSAGE = '/aside.v1.MessageService/';
const WATCH = '/aside.v1.WatchService/WatchPage';
const bearer = { authorization: `Bearer ${token}` };
const as = (user) => ({ 'act-as-user': user });
const send = (text, key = randomBytes(16)) => ({ pageId: 1, clientKey: key, content: { text } });
const refused = (reason) => (error) => assert.equal(error.reason, reason) ?? true;

async function plainCalls(peer) {
	assert.equal((await plain(peer, '/aside.rpc.v1.HealthService/Check', {})).status, 'SERVING_STATUS_SERVING');
	await assert.rejects(plain(peer, `${PAGE}GetPage`, { pageId: 1 }), refused('CREDENTIALS_MISSING'));
	await assert.rejects(plain(peer, `${PAGE}GetPage`, { pageId: 1 }, bearer), refused('PAGE_NOT_FOUND'));
	const created = await plain(peer, `${PAGE}CreatePage`, { pageId: 1, name: 'Coke', adminUserId: 7 }, bearer);
	assert.equal(created.page.name, 'Coke');
}

async function sessionCalls(session) {
	const key = randomBytes(16);
	assert.equal(session.hello.protocolVersion, 1);
	assert.equal((await session.call(`${MESSAGE}SendMessage`, send('Hello!', key), as(42))).receipt.seq, 1);
	const again = await session.call(`${MESSAGE}SendMessage`, send('Hello!', key), as(42));
	assert.deepEqual([again.receipt.seq, again.receipt.repeatedKey], [1, true]);
	await assert.rejects(session.call(`${MESSAGE}SendMessage`, send('Bye!', key), as(42)),
		(error) => error.code === 'ALREADY_EXISTS' && error.reason === 'KEY_REUSED');
	await assert.rejects(session.call(`${MESSAGE}SendMessage`, { ...send('x'), pageId: -1 }, as(42)),
		(error) => error.code === 'INVALID_ARGUMENT' && error.fields[0] === 'page_id');
	await assert.rejects(session.call(`${MESSAGE}SendMessage`, send('x'.repeat(2001)), as(42)),
		(error) => error.reason === 'TEXT_TOO_LONG' && error.facts.limit === '2000');
	await session.call(`${SETTINGS}UpdatePageSettings`, { pageId: 1, settings: { messagingEnabled: false },
		updateMask: { paths: ['messaging_enabled'] } }, as(7));
	await assert.rejects(session.call(`${MESSAGE}SendMessage`, send('Hello?'), as(42)), refused('MESSAGING_DISABLED'));
	await session.call(`${SETTINGS}UpdatePageSettings`, { pageId: 1, settings: { messagingEnabled: true },
		updateMask: { paths: ['messaging_enabled'] } }, as(7));
}

async function manyCalls(session) {
	const texts = Array.from({ length: 500 }, (_, i) => `message ${i}`);
	const sent = await Promise.all(texts.map((text) => session.call(`${MESSAGE}SendMessage`, send(text), as(42))));
	assert.deepEqual(sent.map((one) => one.receipt.seq), texts.map((_, i) => i + 2));
	const list = await session.call(`${MESSAGE}ListMessages`, { pageId: 1, userId: 42, pageSize: 200 }, as(42));
	assert.equal(list.messages.length, 200);
	assert.deepEqual(list.messages.map((message) => message.content.text), texts.slice(-200).reverse());
}

// Takes `n` events of the page after `cursor`; `act` runs once the watch stands.
async function watch(session, cursor, n, act) {
	const texts = [];
	for await (const { cursor: at, event } of session.stream(WATCH, { pageId: 1, cursor }, as(7))) {
		cursor = at;
		if (event) {
			texts.push(event.message.content.text);
		} else {
			await act();
		}
		if (texts.length === n) {
			break;
		}
	}
	return { cursor, texts };
}

async function streams(session) {
	const say = (words) => Promise.all(words.map((text) => session.call(`${MESSAGE}SendMessage`, send(text), as(42))));
	const words = (prefix, n) => Array.from({ length: n }, (_, i) => `${prefix} ${i}`);
	const live = await watch(session, '', 100, () => say(words('live', 100))); // several times the credit
	assert.deepEqual(live.texts, words('live', 100));
	await say(words('missed', 50));
	const missed = await watch(session, live.cursor, 51, () => say(['and one more']));
	assert.deepEqual(missed.texts, [...words('missed', 50), 'and one more']);
	await assert.rejects(watch(session, 'no cursor', 1, () => {}), (error) => error.code === 'INVALID_ARGUMENT');
	await assert.rejects(plain(peer, WATCH, { pageId: 1 }, bearer), refused('SESSION_REQUIRED'));
}

const peer = await Peer.open(url, api);
await plainCalls(peer);
const session = await Session.open(peer, bearer);
await sessionCalls(session);
await manyCalls(session);
await streams(session);
await assert.rejects(Session.open(peer, { authorization: 'Bearer no.such.token' }), refused('TOKEN_INVALID'));
peer.close();
console.log('a client in JavaScript: plain calls, a session, 500 calls at once, refusals with their details, streams');
