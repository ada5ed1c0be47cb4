// Two workers behind a listener of their parent: cluster.js PORT. Each connection is answered with what the worker sees of it.
const cluster = require("cluster");
const net = require("net");

function answer(connection) {
  const { remoteAddress: peer, localAddress: local, remoteFamily } = connection;
  const family = remoteFamily === "IPv6" ? "AF_INET6" : "AF_INET";
  connection.once("data", () => connection.end(JSON.stringify({ peer, local, family }) + "\n"));
}

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on("listening", () => ++listening === 2 && console.log("listening"));
  cluster.fork();
  cluster.fork();
} else {
  net.createServer(answer).listen(Number(process.argv[2]), "::");
}
