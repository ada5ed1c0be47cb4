using System.Globalization;
using System.Text.RegularExpressions;

namespace Peers;

/// <summary>The options of the command line; <see cref="Usage"/> has all that there are.</summary>
sealed partial class Options
{
    public const string Usage =
        """
        client --address URI [--path2 URI]       Microsoft's WCF client for a service at one address, or at two in turns
          what to call    [--contract calc|doubles|values|shop|unknown|duplex|streams|streamed|echo|fault|forget|mirror|asks]    (streams if streamed, else calc)
                          [--mode buffered|streamed|streamedrequest|streamedresponse|duplex] [--encoding binary|text11|text12|text12-unicode|text12-bigendian]
          how often       [--calls N] [--channels N] [--parallel] [--bytes N] [--newfactory] [--samechannel] [--uploadonly] [--downloadonly]
          pauses in ms    [--hold MS (before a channel is closed)] [--pause MS (between calls)] [--gap MS (between channels)]
                          [--step (waits for a line of standard input before each call of calc and mirror, and before their end)]
          how it ends     [--noclose] [--abort] [--timeout SECONDS] [--deadline SECONDS]
          where to        [--via URI] [--via2 URI] [--viahow overload|behavior]
          connections     [--pool N] [--idle SECONDS] [--lease SECONDS] [--buffer OCTETS (also of the socket)]
          security        [--security none|tls|windows] [--tlsversion 1.2|1.3] [--ca ignore|chain] [--dns NAME|none]
                          [--clientcert PFX] [--clientcertpass PASSWORD] [--user NAME] [--password PASSWORD] [--domain NAME]
                          [--upn NAME] [--spn NAME] [--protection EncryptAndSign|Sign|None]
          what it prints  [--times] [--stack]
          what it is sent [--replies FILE (shop: says of each line, sent with Note, whether the reply was accepted)]
        client --read FILE [--encoding …]        prints the values in an envelope that another program wrote
        It checks every answer. Exit status: 0 all right, 1 an exception (it says which), 2 a wrong answer, 3 the deadline, 64 usage.
        """;

    readonly Dictionary<string, string> given = [];

    /// <exception cref="ArgumentException">There is no such option.</exception>
    public Options(string[] arguments)
    {
        HashSet<string> known = [.. Name().Matches(Usage).Select(match => match.Groups[1].Value)];
        for (int i = 0; i < arguments.Length; i++)
        {
            string name = Name().Match(arguments[i]).Groups[1].Value;
            if (!known.Contains(name)) throw new ArgumentException($"no option {arguments[i]}; --help has them all");
            bool hasValue = i + 1 < arguments.Length && !arguments[i + 1].StartsWith("--", StringComparison.Ordinal);
            given[name] = hasValue ? arguments[++i] : "";
        }
    }

    /// <summary>For each call, and for opening and closing.</summary>
    public TimeSpan Timeout => TimeSpan.FromSeconds(Get("timeout", 60.0));

    public bool Has(string name) => given.ContainsKey(name);
    public string? Get(string name) => given.GetValueOrDefault(name);
    public string Get(string name, string otherwise) => given.GetValueOrDefault(name, otherwise);
    public int Get(string name, int otherwise) => Has(name) ? int.Parse(given[name], CultureInfo.InvariantCulture) : otherwise;
    public double Get(string name, double otherwise) => Has(name) ? double.Parse(given[name], CultureInfo.InvariantCulture) : otherwise;

    [GeneratedRegex("--([a-z0-9]+)")]
    private static partial Regex Name();
}
