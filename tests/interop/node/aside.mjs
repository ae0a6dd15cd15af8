// A client of aside in JavaScript, over WebSocket, written from proto/README.md alone.
//
//   const peer = await Peer.open(url, api)            a connection: SP requests and their replies
//   await plain(peer, method, request, metadata)      a call without a session
//   const session = await Session.open(peer, metadata)
//   await session.call(method, request, metadata)     many at a time
//   for await (const item of session.stream(method, request, metadata))   what the server streams
import { randomBytes } from 'node:crypto';
import protobuf from 'protobufjs';
import WebSocket from 'ws';

const REQUEST_BIT = 0x80000000;
const PARKED_MAX = 32;
const STREAM_ITEMS = 16, STREAM_BYTES = 65536; // credit with which each stream begins
const CODES = ['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS',
	'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED',
	'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'];

// The .proto files, read as they are.
export function loadApi(protoFolder, protobufFolder) {
	const root = new protobuf.Root();
	root.resolvePath = (origin, target) => `${target.startsWith('google/') ? protobufFolder : protoFolder}/${target}`;
	root.loadSync(['envelope', 'status', 'health', 'reflection'].map((name) => `aside/rpc/v1/${name}.proto`)
		.concat(['pages', 'wall', 'threads', 'messages', 'attachments', 'watch'].map((name) => `aside/v1/${name}.proto`)));
	return {
		type: (name) => root.lookupType(name),
		// "/aside.v1.MessageService/SendMessage"
		method: (path) => {
			const [service, name] = path.slice(1).split('/');
			const found = root.lookupService(service).methods[name];
			return { path, request: found.parent.lookupType(found.requestType), response: found.parent.lookupType(found.responseType) };
		},
	};
}

// Why a call failed: code, reason, facts and the fields at fault.
export class Refusal extends Error {
	constructor(api, reply) {
		super(reply.status?.message ?? '');
		this.code = CODES[reply.code ?? 0];
		this.facts = {};
		this.fields = [];
		for (const detail of reply.status?.details ?? []) {
			const name = detail.type_url.split('/').pop().split('.').pop();
			if (name === 'ErrorInfo') {
				const info = api.type('aside.rpc.v1.ErrorInfo').decode(detail.value);
				this.reason = info.reason;
				this.facts = info.metadata;
			} else if (name === 'BadRequest') {
				this.fields = api.type('aside.rpc.v1.BadRequest').decode(detail.value).fieldViolations.map((v) => v.field);
			}
		}
	}
}

// One connection: an SP request is 4 bytes of its number, then the body; its reply begins with the same number.
export class Peer {
	#socket;
	#next = 1;
	#waiting = new Map();

	static open(url, api) {
		return new Promise((resolve, reject) => {
			const peer = new Peer();
			peer.api = api;
			peer.#socket = new WebSocket(url, 'rep.sp.nanomsg.org');
			peer.#socket.on('open', () => resolve(peer));
			peer.#socket.on('error', reject);
			peer.#socket.on('message', (data) => peer.#deliver(data));
			peer.#socket.on('close', () => peer.#waiting.forEach(({ reject: lost }) => lost(new Error('connection lost'))));
		});
	}

	#deliver(data) {
		const number = data.readUInt32BE(0);
		this.#waiting.get(number)?.resolve(data.subarray(4));
		this.#waiting.delete(number);
	}

	request(body) {
		const head = Buffer.alloc(4), number = (this.#next++ | REQUEST_BIT) >>> 0;
		head.writeUInt32BE(number);
		this.#socket.send(Buffer.concat([head, body]));
		return new Promise((resolve, reject) => this.#waiting.set(number, { resolve, reject }));
	}

	close() {
		this.#socket.close();
	}
}

const entries = (metadata) => Object.entries(metadata ?? {}).map(([key, value]) => ({ key, value: Buffer.from(String(value)) }));

function callFrame(callId, method, request, metadata) {
	const payload = method.request.encode(method.request.fromObject(request)).finish();
	return { callId, call: { method: method.path, payload, metadata: entries(metadata) } };
}

const messageOf = (method, payload) => method.response.toObject(method.response.decode(payload ?? Buffer.alloc(0)),
	{ longs: String, enums: String, defaults: true });

function resultOf(api, method, reply) {
	if (reply.code) {
		throw new Refusal(api, reply);
	}
	return messageOf(method, reply.payload);
}

// The reply to a plain message holds the replies to exactly the calls in it.
export async function plain(peer, path, request, metadata) {
	const { api } = peer, method = api.method(path), Envelope = api.type('aside.rpc.v1.Envelope');
	const body = Envelope.encode({ frames: [callFrame(1, method, request, metadata)] }).finish();
	const { frames } = Envelope.decode(await peer.request(body));
	if (frames.length !== 1 || Number(frames[0].callId) > 1) {
		throw new Error('a reply to another call');
	}
	return resultOf(api, method, frames[0].reply);
}

// Calls under way share the requests that are parked with the server.
export class Session {
	#peer;
	#Envelope;
	#id;
	#sent = 0;
	#expected = 1; // the number of the next message from the server
	#early = new Map();
	#parked = 0;
	#queue = [];
	#nextCall = 1;
	#calls = new Map();
	#greeted;

	static async open(peer, metadata) {
		const session = new Session();
		session.#peer = peer;
		session.#Envelope = peer.api.type('aside.rpc.v1.Envelope');
		session.#id = protobuf.util.LongBits.fromHash(randomBytes(8).toString('latin1')).toLong(true);
		session.#queue.push({ hello: { protocolVersion: 1, peerName: 'aside-node', metadata: entries(metadata),
			limits: { messageBytes: 4 << 20, streamItems: STREAM_ITEMS, streamBytes: STREAM_BYTES } } });
		const greeting = new Promise((resolve, reject) => { session.#greeted = { resolve, reject }; });
		session.#flush();
		session.hello = await greeting;
		return session;
	}

	call(path, request, metadata) {
		const method = this.#peer.api.method(path), callId = this.#nextCall++;
		this.#queue.push(callFrame(callId, method, request, metadata));
		const ended = new Promise((resolve, reject) => this.#calls.set(callId, { method, resolve, reject }));
		this.#flush();
		return ended;
	}

	// Whoever takes an item gives credit for another; whoever stops taking them cancels.
	async *stream(path, request, metadata) {
		const method = this.#peer.api.method(path), callId = this.#nextCall++;
		const stream = { method, items: [], ended: false };
		stream.news = () => new Promise((resolve) => { stream.wake = resolve; });
		stream.resolve = () => { stream.ended = true; stream.wake?.(); };
		stream.reject = (why) => { stream.failure = why; stream.resolve(); };
		this.#calls.set(callId, stream);
		this.#queue.push(callFrame(callId, method, request, metadata));
		this.#flush();
		try {
			for (;;) {
				for (let item; (item = stream.items.shift()) !== undefined;) {
					this.#queue.push({ callId, credit: { items: 1, payloadBytes: item.length } });
					this.#flush();
					yield messageOf(method, item);
				}
				if (stream.failure) {
					throw stream.failure;
				}
				if (stream.ended) {
					return;
				}
				await stream.news();
			}
		} finally {
			if (!stream.ended) {
				this.#calls.delete(callId);
				this.#queue.push({ callId, cancel: {} });
				this.#flush();
			}
		}
	}

	// Sends what is queued, or nothing so that the server may speak while calls are under way.
	#flush() {
		while (this.#parked < PARKED_MAX && (this.#queue.length > 0 || (this.#parked === 0 && this.#calls.size > 0))) {
			const frames = this.#queue.splice(0);
			this.#parked++;
			this.#peer.request(this.#Envelope.encode({ session: this.#id, sequence: ++this.#sent, frames }).finish())
				.then((body) => this.#receive(body), (lost) => this.#end(lost));
		}
	}

	// Messages count up and are handled in that order.
	#receive(body) {
		const message = this.#Envelope.decode(body);
		this.#parked--;
		this.#early.set(Number(message.sequence), message.frames);
		for (let frames; (frames = this.#early.get(this.#expected)) !== undefined; this.#expected++) {
			this.#early.delete(this.#expected);
			frames.forEach((frame) => this.#handle(frame));
		}
		this.#flush();
	}

	#handle(frame) {
		const callId = Number(frame.callId), call = this.#calls.get(callId);
		if (frame.hello) {
			this.#greeted.resolve(frame.hello);
		} else if (frame.goaway) {
			this.goaway = frame.goaway;
		} else if (frame.item && call) {
			call.items.push(frame.item.payload ?? Buffer.alloc(0));
			call.wake?.();
		} else if (frame.reply && callId === 0) {
			this.#greeted.reject(new Refusal(this.#peer.api, frame.reply));
		} else if (frame.reply && call) {
			this.#calls.delete(callId);
			try {
				call.resolve(resultOf(this.#peer.api, call.method, frame.reply));
			} catch (refusal) {
				call.reject(refusal);
			}
		}
	}

	#end(lost) {
		this.#greeted.reject(lost);
		this.#calls.forEach((call) => call.reject(lost));
		this.#calls.clear();
	}
}
