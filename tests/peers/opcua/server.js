// An OPC UA server on the loopback that shares no code with asyncua: node-opcua.
//
// Options (the first argument, JSON):
//   port            0: any
//   pki             folder for its certificates; what a client must be trusted by lies in pki/trusted
//   certificate, key   files; default: it makes its own
//   policies, modes    names such as "Basic256Sha256" and "SignAndEncrypt"; default: all that are sound, and None
//   anonymous       whether users without a name are let in (default: true)
//   users           {name: password}
//   acceptAnyClient    whether clients' certificates are taken unseen (default: false)
//   advertise       host name that its endpoints carry, whatever the address is
//   queue           longest queue of a monitored item (default: 10000)
//
// Commands: {set: name, value} · {status: name, code} · {history: count} · {trustClient: der file} ·
// {trustUser: der file} · {fire: severity, message} · {sessions: true} · {shutdown: true}; each is answered with one line
// of JSON.
"use strict";
for (const way of ["log", "info", "warn"]) console[way] = console.error;   // standard output is for answers alone
const path = require("path");
const readline = require("readline");
const fs = require("fs");
const {
    DataType,
    DataValue,
    MessageSecurityMode,
    OPCUACertificateManager,
    OPCUAServer,
    SecurityPolicy,
    StatusCodes,
    VariantArrayType,
    ensureDatatypeExtracted,
    standardUnits,
} = require("node-opcua");

const options = JSON.parse(process.argv[2] || "{}");
const MODES = { None: MessageSecurityMode.None, Sign: MessageSecurityMode.Sign, SignAndEncrypt: MessageSecurityMode.SignAndEncrypt };

const nodes = {};    // name -> {node, initial}: what commands speak of
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

async function build(server) {
    const space = server.engine.addressSpace;
    const own = space.getOwnNamespace();
    const plant = own.addFolder(space.rootFolder.objects, { browseName: "Plant", nodeId: "s=Plant" });
    const line = own.addObject({ browseName: "Line 1", displayName: "Line 1", componentOf: plant, nodeId: "s=Line1", eventNotifier: 1,
        eventSourceOf: space.rootFolder.objects.server });

    const variable = (name, type, value, more = {}) => {
        const initial = { dataType: DataType[type], arrayType: VariantArrayType.Scalar, value, ...more.variant };
        const node = own.addVariable({
            browseName: name, nodeId: `s=${name}`, componentOf: line, dataType: type, minimumSamplingInterval: 10,
            value: initial, ...more,
        });
        nodes[name] = { node, initial };
        return node;
    };

    variable("Running", "Boolean", true);
    for (const [type, value] of Object.entries({
        SByte: -8, Byte: 8, Int16: -1600, UInt16: 1600, Int32: -320000, UInt32: 320000, Float: 1.5, Double: 2.5,
        String: "filler", DateTime: new Date("2026-01-02T03:04:05.678Z"), ByteString: Buffer.from([1, 2, 254]),
        Guid: "72962B91-FA75-4AE6-8D28-B404DC7DAF63",
    })) variable(type, type, value);
    variable("Int64", "Int64", [0xffffffff, 0xfffffff6]);   // -10 as high and low word
    variable("UInt64", "UInt64", [0x00200000, 1]);          // 2**53 + 1
    variable("Profile", "Double", new Float64Array([1, 2, 3]), { variant: { arrayType: VariantArrayType.Array }, valueRank: 1, arrayDimensions: [3] });
    variable("Matrix", "Double", new Float64Array([1, 2, 3, 4]), {
        variant: { arrayType: VariantArrayType.Matrix, dimensions: [2, 2] }, valueRank: 2, arrayDimensions: [2, 2],
    });
    variable("Label", "LocalizedText", { text: "Füller", locale: "de" });
    variable("ReadOnly", "Double", 7, { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" });
    variable("Failing", "Double", 0);
    nodes.Failing.node.setValueFromSource(nodes.Failing.initial, StatusCodes.BadDeviceFailure);
    own.addVariable({
        browseName: "Slow", nodeId: "s=Slow", componentOf: line, dataType: "Double",
        value: { refreshFunc: (callback) => setTimeout(() => callback(null, new DataValue({
            value: { dataType: DataType.Double, value: 3 }, statusCode: StatusCodes.Good, sourceTimestamp: new Date() })), 1500) },
    });
    const temperature = { dataType: DataType.Double, value: 20.5 };
    nodes.Temperature = { initial: temperature, node: own.addAnalogDataItem({
        browseName: "Temperature", nodeId: "s=Temperature", componentOf: line, dataType: "Double", minimumSamplingInterval: 10,
        description: "Of the product, behind the valve", engineeringUnits: standardUnits.degree_celsius,
        engineeringUnitsRange: { low: -50, high: 150 }, instrumentRange: { low: -50, high: 200 },
        value: temperature,
    }) };
    const historic = variable("Level", "Double", 0.5);
    space.installHistoricalDataNode(historic, { maxOnlineValues: 100000 });

    // A structure, and a variable that holds one.
    const structure = own.createDataType({ browseName: "Batch", isAbstract: false, subtypeOf: "Structure", partialDefinition: [
        { name: "Number", dataType: DataType.UInt32, valueRank: -1 },
        { name: "Product", dataType: DataType.String, valueRank: -1 },
        { name: "Weights", dataType: DataType.Double, valueRank: 1 },
    ] });
    own.addObject({ browseName: { name: "Default Binary", namespaceIndex: 0 }, nodeId: "s=Batch.Binary",
        typeDefinition: "DataTypeEncodingType", encodingOf: structure });
    space.$$extraDataTypeManager = undefined;   // it knows of the types there were at the start
    await ensureDatatypeExtracted(space);
    const batch = space.constructExtensionObject(structure, { number: 7, product: "Ale", weights: [1.5, 2.5] });
    own.addVariable({ browseName: "Batch", nodeId: "s=Batch", componentOf: line, dataType: structure,
        value: { dataType: DataType.ExtensionObject, value: batch } });
    const enumeration = own.addEnumerationType({ browseName: "State", enumeration: ["Stopped", "Starting", "Running"] });
    own.addVariable({ browseName: "State", nodeId: "s=State", componentOf: line, dataType: enumeration.nodeId,
        value: { dataType: DataType.Int32, value: 2 } });

    // A method, and one that fails.
    own.addMethod(line, { browseName: "Add", nodeId: "s=Add",
        inputArguments: [{ name: "a", dataType: DataType.Double, valueRank: -1 }, { name: "b", dataType: DataType.Double, valueRank: -1 }],
        outputArguments: [{ name: "sum", dataType: DataType.Double, valueRank: -1 }],
    }).bindMethod((inputs, context, callback) => callback(null, { statusCode: StatusCodes.Good,
        outputArguments: [{ dataType: DataType.Double, value: inputs[0].value + inputs[1].value }] }));
    own.addMethod(line, { browseName: "Refuse", nodeId: "s=Refuse", inputArguments: [], outputArguments: [],
    }).bindMethod((inputs, context, callback) => callback(null, { statusCode: StatusCodes.BadInvalidState, outputArguments: [] }));

    // An alarm on the temperature, and the method that repeats alarms in force.
    space.installAlarmsAndConditionsService();
    own.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
        browseName: "Hot", componentOf: line, conditionSource: line, inputNode: nodes.Temperature.node,
        highHighLimit: 120, highLimit: 100, lowLimit: 0, lowLowLimit: -10,
    });

    // Something to browse: a loop, a name a topic can't carry, and a folder larger than one answer.
    const crowd = own.addFolder(plant, { browseName: "Crowd", nodeId: "s=Crowd" });
    for (let i = 0; i < 300; i++)
        own.addVariable({ browseName: `Item ${i}`, nodeId: `s=Item${i}`, organizedBy: crowd, dataType: "UInt16", value: { dataType: DataType.UInt16, value: i } });
    crowd.addReference({ referenceType: "Organizes", nodeId: plant });
    own.addVariable({ browseName: "Pump/3 #A+", nodeId: "s=odd", organizedBy: plant, dataType: "Double", value: { dataType: DataType.Double, value: 1 } });

    return { space, own, line, historic };
}

function fromJson({ dataType, arrayType }, value) {
    if (dataType === DataType.DateTime) return new Date(value);
    if (dataType === DataType.ByteString) return Buffer.from(value, "hex");
    return arrayType === VariantArrayType.Array && dataType === DataType.Double ? new Float64Array(value) : value;
}

async function main() {
    const accept = Boolean(options.acceptAnyClient);
    const manager = (folder) => new OPCUACertificateManager({ rootFolder: path.join(options.pki, folder), automaticallyAcceptUnknownCertificate: folder === "pki" && accept, keySize: 2048 });
    const certificates = manager("pki");
    const userCertificates = manager("users");
    await certificates.initialize();
    await userCertificates.initialize();
    const names = options.policies || ["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"];
    const server = new OPCUAServer({
        port: options.port || 0,
        host: "127.0.0.1",
        hostname: options.advertise || "127.0.0.1",
        resourcePath: options.path,
        serverInfo: { applicationUri: options.applicationUri || "urn:tidegate:peer", productUri: "urn:tidegate:peer", applicationName: { text: "Peer" } },
        serverCertificateManager: certificates,
        userCertificateManager: userCertificates,
        ...(options.certificate ? { certificateFile: options.certificate, privateKeyFile: options.key } : {}),
        securityPolicies: names.map((name) => SecurityPolicy[name]),
        securityModes: (options.modes || ["None", "Sign", "SignAndEncrypt"]).map((name) => MODES[name]),
        allowAnonymous: options.anonymous !== false,
        userManager: { isValidUser: (name, password) => (options.users || {})[name] === password },
        disableDiscovery: false,
        serverCapabilities: { maxSessions: 100, maxMonitoredItemsQueueSize: options.queue || 10000,
            operationLimits: { maxNodesPerRead: 1000, maxNodesPerBrowse: 100, maxMonitoredItemsPerCall: 1000, maxNodesPerHistoryReadData: 10, maxNodesPerWrite: 100 } },
        isAuditing: false,
    });
    await server.initialize();
    const { space, own, line, historic } = await build(server);
    await server.start();
    const port = server.endpoints[0].port;
    // Level counts up, so that its history can be told apart.
    let level = 0;
    let levelAt = 0;
    const commands = {
        set: ({ set, value }) => {
            const { node, initial } = nodes[set];
            node.setValueFromSource({ ...initial, value: fromJson(initial, value) }, StatusCodes.Good, new Date());
            return {};
        },
        status: ({ status, code }) => {
            const { node, initial } = nodes[status];
            node.setValueFromSource(initial, StatusCodes[code], new Date());
            return {};
        },
        history: ({ history: count }) => {
            for (let i = 0; i < count; i++) {
                levelAt = Math.max(Date.now(), levelAt + 1);   // a history has one value a moment
                historic.setValueFromSource({ dataType: DataType.Double, value: ++level }, StatusCodes.Good, new Date(levelAt));
            }
            return { level };
        },
        trustClient: async ({ trustClient: file }) => { await certificates.trustCertificate(fs.readFileSync(file)); return {}; },
        trustUser: async ({ trustUser: file }) => { await userCertificates.trustCertificate(fs.readFileSync(file)); return {}; },
        fire: ({ fire: severity, message }) => {
            line.raiseEvent("BaseEventType", { severity: { dataType: DataType.UInt16, value: severity },
                message: { dataType: DataType.LocalizedText, value: { text: message } }, sourceName: { dataType: DataType.String, value: "Line 1" } });
            return {};
        },
        sessions: () => ({ sessions: server.engine.currentSessionCount, channels: server.currentChannelCount, subscriptions: server.engine.currentSubscriptionCount }),
        shutdown: async () => { await server.shutdown(0); return {}; },
    };
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", async (text) => {
        const command = JSON.parse(text);
        const verb = Object.keys(commands).find((name) => name in command);
        try {
            say(await commands[verb](command));
        } catch (error) {
            say({ error: String(error) });
        }
    });
    lines.on("close", () => process.exit(0));
    process.stdout.write("ready " + JSON.stringify({ port, url: `opc.tcp://127.0.0.1:${port}`, namespace: own.namespaceUri, index: own.index, node: process.version }) + "\n");
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
