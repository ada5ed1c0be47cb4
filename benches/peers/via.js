// Octet 6 of a preamble is the size of the Via, the Via follows.
let found = '';

function preread(s) {
    s.on('upstream', function (octets) {
        if (octets.length >= 7 && octets.length >= 7 + octets[6]) {
            found = octets.slice(7, 7 + octets[6]).toString();
            s.done();
        }
    });
}

function via(s) {
    return found;
}

export default { preread, via };
