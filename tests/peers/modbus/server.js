// A Modbus TCP server by modbus-serial. Values are put into registers by Node's own Buffer, their order by the rule of
// this file: what the gateway makes of them is compared with something that shares no code with it.
"use strict";

const readline = require("readline");
const { ServerTCP } = require("modbus-serial");

const options = JSON.parse(process.argv[2] || "{}");
const registers = { hr: Buffer.alloc(2 * 65536), ir: Buffer.alloc(2 * 65536) };
const bits = { co: Buffer.alloc(65536), di: Buffer.alloc(65536) };
const objects = options.objects || {};

const vector = {
  getHoldingRegister: (address) => registers.hr.readUInt16BE(2 * address),
  getInputRegister: (address) => registers.ir.readUInt16BE(2 * address),
  getCoil: (address) => bits.co[address] === 1,
  getDiscreteInput: (address) => bits.di[address] === 1,
  setRegister: (address, value) => { registers.hr.writeUInt16BE(value, 2 * address); },
  setCoil: (address, value) => { bits.co[address] = value ? 1 : 0; },
  readDeviceIdentification: () => objects,
};

// Bytes of a big-endian number → as they are on the wire: which words come first, and whether their bytes are swapped.
function ordered(bytes, order) {
  const words = [];
  for (let at = 0; at < bytes.length; at += 2) words.push([bytes[at], bytes[at + 1]]);
  if (order === "CDAB" || order === "DCBA") words.reverse();
  if (order === "BADC" || order === "DCBA") words.forEach((word) => word.reverse());
  return Buffer.from(words.flat());
}

const SIZES = { Int16BE: 2, UInt16BE: 2, Int32BE: 4, UInt32BE: 4, BigInt64BE: 8, BigUInt64BE: 8, FloatBE: 4, DoubleBE: 8 };

function parsed(kind, text) {
  return kind.startsWith("Big") ? BigInt(text) : Number(text);
}

const commands = {
  put({ table, address, kind, order, values }) {
    values.forEach((text, index) => {
      const bytes = Buffer.alloc(SIZES[kind]);
      bytes["write" + kind](parsed(kind, text));
      ordered(bytes, order).copy(registers[table], 2 * address + index * SIZES[kind]);
    });
    return {};
  },
  get({ address, kind, order, count }) {
    const values = [];
    for (let index = 0; index < count; index += 1) {
      const start = 2 * address + index * SIZES[kind];
      const bytes = ordered(registers.hr.subarray(start, start + SIZES[kind]), order);
      values.push(String(bytes["read" + kind]()));
    }
    return { values };
  },
  text({ address, encoding, value }) {
    registers.hr.write(value, 2 * address, encoding);
    return {};
  },
  bits({ table, address, values }) {
    values.forEach((value, index) => { bits[table][address + index] = value ? 1 : 0; });
    return {};
  },
  coils({ address, count }) {
    return { values: [...bits.co.subarray(address, address + count)].map((bit) => bit === 1) };
  },
};

const server = new ServerTCP(vector, { host: "127.0.0.1", port: String(options.port || 0), unitID: 255 });
server.on("socketError", () => {});
server.on("serverError", (error) => { throw error; });
server.on("initialized", () => {
  process.stdout.write(`ready ${JSON.stringify({ port: server._server.address().port })}\n`);
});

readline.createInterface({ input: process.stdin })
  .on("line", (line) => {
    let answer;
    try {
      const { do: name, ...rest } = JSON.parse(line);
      answer = commands[name](rest);
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  })
  .on("close", () => process.exit(0));
