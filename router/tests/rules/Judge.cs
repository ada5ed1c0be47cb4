// The judge: answers the rules of docs/original.md §6 with System.Uri and UriBuilder themselves.
//
// One request a line on standard input, one answer a line on standard output:
//   clear                        forget all registrations       -> ok
//   + MODE ADDRESS               register                       -> ok | conflict ADDRESS | refused
//   ? IP PORT VIA                look up                        -> ADDRESS | EndpointNotFound | reset
//   = VIA                        take apart                     -> SCHEME HOST PORT PATH WILDCARD-PATH | reset
using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Text;

static class Judge
{
    static readonly Dictionary<string, Registration> Table = new Dictionary<string, Registration>(StringComparer.OrdinalIgnoreCase);
    static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

    class Registration
    {
        public string Address;
        public IPAddress Literal;
    }

    static int Main()
    {
        var input = new BufferedStream(Console.OpenStandardInput(), 1 << 16);
        var output = new BufferedStream(Console.OpenStandardOutput(), 1 << 16);
        var line = new MemoryStream();
        for (int octet; (octet = input.ReadByte()) >= 0;)
        {
            if (octet != '\n')
            {
                line.WriteByte((byte)octet);
                continue;
            }
            string answer;
            try
            {
                answer = Answer(Utf8.GetString(line.GetBuffer(), 0, (int)line.Length));
            }
            catch (Exception e)
            {
                answer = "reset" + (Environment.GetEnvironmentVariable("JUDGE_WHY") != null ? " " + e.GetType().Name + " " + e.Message.Replace("\n", " ") : "");
            }
            byte[] octets = new UTF8Encoding(false).GetBytes(answer + "\n");
            output.Write(octets, 0, octets.Length);
            line.SetLength(0);
        }
        output.Flush();
        return 0;
    }

    static string Answer(string request)
    {
        if (request == "clear")
        {
            Table.Clear();
            return "ok";
        }
        if (request.StartsWith("+ ", StringComparison.Ordinal))
        {
            string[] parts = request.Split(new[] { ' ' }, 3);
            return Register(parts[1], parts[2]);
        }
        if (request.StartsWith("? ", StringComparison.Ordinal))
        {
            string[] parts = request.Split(new[] { ' ' }, 4);
            return Lookup(IPAddress.Parse(parts[1]), int.Parse(parts[2]), parts[3]);
        }
        Uri via = new Uri(request.Substring(2));
        Uri wildcard = WithPort(via, 9000);
        // Behind an IPv6 address it can be empty.
        string path = via.AbsolutePath == "" ? "/" : via.AbsolutePath;
        return String.Join(" ", via.Scheme, via.Host, via.Port, path, wildcard.AbsolutePath);
    }

    // Step 2: the same Uri with the port of the socket; path and query both become path.
    static Uri WithPort(Uri via, int port)
    {
        return new UriBuilder(via.Scheme, via.Host, port, via.PathAndQuery).Uri;
    }

    static string Register(string mode, string address)
    {
        Uri uri;
        if (!Uri.TryCreate(address, UriKind.Absolute, out uri) || uri.Scheme != "net.tcp"
            || uri.UserInfo != "" || uri.Query != "" || uri.Fragment != "")
            return "refused";
        List<string> segments = Segments(uri, mode);
        string key = String.Join("/", segments);
        if (Table.ContainsKey(key))
            return "conflict " + Table[key].Address;
        IPAddress literal = null;
        if (uri.HostNameType == UriHostNameType.IPv4 || uri.HostNameType == UriHostNameType.IPv6)
            literal = IPAddress.Parse(uri.Host.Trim('[', ']'));
        Table[key] = new Registration { Address = address, Literal = literal };
        return "ok";
    }

    static string Lookup(IPAddress address, int port, string text)
    {
        Uri via = new Uri(text);
        Uri wildcard = WithPort(via, port);
        Registration found = Longest(wildcard, "strong_wildcard", address)
            ?? Longest(via, "exact", address)
            ?? Longest(wildcard, "weak_wildcard", address);
        return found == null ? "EndpointNotFound" : found.Address;
    }

    // The longest registration of one mode, if the address check lets it pass.
    static Registration Longest(Uri uri, string mode, IPAddress address)
    {
        List<string> segments = Segments(uri, mode);
        for (int length = segments.Count; length >= 4; length--)
        {
            Registration found;
            if (!Table.TryGetValue(String.Join("/", segments.GetRange(0, length)), out found))
                continue;
            bool any = IPAddress.Any.Equals(found.Literal) || IPAddress.IPv6Any.Equals(found.Literal);
            return found.Literal == null || any || found.Literal.Equals(address) ? found : null;
        }
        return null;
    }

    // Mode, scheme, host, port, then the path's segments.
    static List<string> Segments(Uri uri, string mode)
    {
        string host = uri.UserInfo == "" ? uri.Host : uri.UserInfo + "@" + uri.Host;
        var segments = new List<string> { mode, uri.Scheme, mode == "exact" ? host : "", uri.Port.ToString() };
        segments.AddRange(uri.AbsolutePath.Split(new[] { '/' }, StringSplitOptions.RemoveEmptyEntries));
        return segments;
    }
}
