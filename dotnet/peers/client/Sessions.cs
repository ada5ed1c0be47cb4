using System.Collections.Concurrent;
using System.ServiceModel;
using System.ServiceModel.Channels;

namespace Peers;

/// <summary>What is called on a channel, for each contract. Every line begins with the channel's label.</summary>
sealed class Sessions(Options options, Channels channels)
{
    /// <summary>Nobody calls before all channels that run at once are open.</summary>
    public Barrier? Together;

    public void Run(string address, string label, int number)
    {
        bool streamed = options.Get("mode", "").StartsWith("streamed", StringComparison.Ordinal);
        string otherwise = options.Get("mode") == "duplex" ? "duplex" : streamed ? "streams" : "calc";
        switch (options.Get("contract", otherwise))
        {
            case "calc": Calculator(address, label, number); break;
            case "doubles": Doubles(address, label); break;
            case "values": Values(address, label); break;
            case "shop": Shop(address, label); break;
            case "unknown": Unknown(address, label); break;
            case "duplex": Duplex(address, label); break;
            case "streams": Streams(address, label); break;
            case "streamed": Streamed(address, label); break;
            case "echo": Echo(address, label); break;
            case "fault": Faults(address, label); break;
            case "forget": Forget(address, label); break;
            case "mirror" when streamed: StreamedMirror(address, label); break;
            case "mirror": Mirror(address, label); break;
            case "asks": Asks(address, label); break;
            case string other: throw new ArgumentException($"--contract {other}");
        }
    }

    void Calculator(string address, string label, int number)
    {
        ICalculator channel = channels.Create<ICalculator>(address);
        Open(channel, label);
        int calls = options.Get("calls", 4);
        for (int i = 0; i < calls; i++)
        {
            BeforeCall(i);
            double x = 100 + 10 * number + i, y = 15.99 + i;
            (string name, double result, Func<double> call) = (i % 4) switch
            {
                0 => (nameof(channel.Add), x + y, () => channel.Add(x, y)),
                1 => (nameof(channel.Subtract), x - y, () => channel.Subtract(x, y)),
                2 => (nameof(channel.Multiply), x * y, () => channel.Multiply(x, y)),
                _ => (nameof(channel.Divide), x / y, (Func<double>)(() => channel.Divide(x, y))),
            };
            Report.Check($"{label} {name}({Report.Text(x)},{Report.Text(y)})", result, call);
        }
        Step();
        Close(channel, label);
    }

    void Doubles(string address, string label)
    {
        ICalculator channel = channels.Create<ICalculator>(address);
        Open(channel, label);
        Report.Say($"{label} {ValueCalls.Doubles(channel)} pairs of doubles");
        Close(channel, label);
    }

    void Values(string address, string label)
    {
        IValues channel = channels.Create<IValues>(address);
        Open(channel, label);
        Report.Say($"{label} {ValueCalls.All(channel)} values");
        Close(channel, label);
    }

    void Shop(string address, string label)
    {
        if (options.Get("replies") is string file)
        {
            ShopCalls.Judge(() => channels.Create<IShop>(address), File.ReadAllLines(file));
            return;
        }
        IShop channel = channels.Create<IShop>(address);
        Open(channel, label);
        ShopCalls.All(channel, label);
        Close(channel, label);
    }

    void Unknown(string address, string label)
    {
        IUnknown channel = channels.Create<IUnknown>(address);
        Open(channel, label);
        Report.Check($"{label} Root(2)", double.NaN, () => channel.Root(2));
        Close(channel, label);
    }

    void Duplex(string address, string label)
    {
        Callback callback = new(options.Timeout);
        ICalculatorDuplex channel = channels.CreateDuplex<ICalculatorDuplex>(address, new(callback));
        Open(channel, label);
        for (int i = 0; i < options.Get("calls", 1); i++)
        {
            Report.Check($"{label} callback of AddTo(100)", "Equals(100)", () => { channel.AddTo(100); return callback.Next(); });
            Report.Check($"{label} callback of MultiplyBy(2)", "Equals(200)", () => { channel.MultiplyBy(2); return callback.Next(); });
            Report.Check($"{label} callback of Clear()", "Equation(0 + 100 * 2 = 200)", () => { channel.Clear(); return callback.Next(); });
        }
        Close(channel, label);
    }

    void Streams(string address, string label)
    {
        int size = options.Get("bytes", 200_000);
        IStreams down = channels.Create<IStreams>(address);
        if (!options.Has("uploadonly")) Report.Check($"{label} Download({size})", size, () => Matching(down.Download(size)));
        if (!options.Has("downloadonly"))
        {
            // Mono answers one streamed call on a channel.
            IStreams up = options.Has("samechannel") ? down : channels.Create<IStreams>(address);
            Report.Check($"{label} Upload({size})", size, () => up.Upload(new MemoryStream(Pattern(size))));
            if (up != down) Close(up, $"{label} upload");
        }
        Close(down, label);
    }

    void Streamed(string address, string label)
    {
        int size = options.Get("bytes", 200_000);
        IStreamed channel = channels.Create<IStreamed>(address);
        for (int i = 0; i < options.Get("calls", 1); i++)
            Report.Check($"{label} Echo(stream of {size})", size, () => Matching(channel.Echo(new MemoryStream(Pattern(size)))));
        Close(channel, label);
    }

    void Echo(string address, string label)
    {
        IEcho channel = channels.Create<IEcho>(address);
        Open(channel, label);
        Report.Check($"{label} Echo(short)", "h\u00e9llo \u20ac", () => channel.Echo("h\u00e9llo \u20ac"));
        byte[] data = Pattern(options.Get("bytes", 100_000));
        Report.Check($"{label} Blob({data.Length}) reversed", true, () => channel.Blob(data).Reverse().SequenceEqual(data));
        Close(channel, label);
    }

    void Faults(string address, string label)
    {
        IEcho channel = channels.Create<IEcho>(address);
        Open(channel, label);
        foreach (string kind in new[] { "fault", "crash" })
            try { Report.Check($"{label} Fail({kind})", "a SOAP fault", () => channel.Fail(kind)); }
            catch (FaultException e) { Report.Say($"ok {label} Fail({kind}): {e.Message} (code {e.Code?.Name})"); }
        Report.Check($"{label} Echo after faults", "still open", () => channel.Echo("still open"));
        Close(channel, label);
    }

    void Forget(string address, string label)
    {
        IFireAndForget channel = channels.Create<IFireAndForget>(address);
        Open(channel, label);
        for (int i = 0; i < options.Get("calls", 3); i++) Report.Say($"sent {label} note {i}", () => channel.Tell($"note {i}"));
        Close(channel, label);
    }

    void Mirror(string address, string label)
    {
        Reflection reflection = new(options.Timeout);
        IMirror channel = channels.CreateDuplex<IMirror>(address, new(reflection));
        Open(channel, label);
        for (int i = 0; i < options.Get("calls", 4); i++)
        {
            BeforeCall(i);
            string text = Shown(i);
            Report.Check($"{label} mirror of {text.Length} characters", true, () => { channel.Show(text); return reflection.Next() == text; });
        }
        Step();
        Close(channel, label);
    }

    /// <summary>Says what it is asked until the channel is at its end, which it is after a request that cannot be answered.</summary>
    void Asks(string address, string label)
    {
        Asked asked = new(options.Timeout);
        IAsks channel = channels.CreateDuplex<IAsks>(address, new(asked));
        Open(channel, label);
        ((IClientChannel)channel).Faulted += (_, _) => asked.End();
        ((IClientChannel)channel).Closed += (_, _) => asked.End();
        channel.Begin();
        string call;
        do Report.Say($"{label} {call = asked.Next()}");
        while (call.StartsWith("Ask", StringComparison.Ordinal));
        ((IClientChannel)channel).Abort();
    }

    void StreamedMirror(string address, string label)
    {
        IStreamedMirror channel = channels.Create<IStreamedMirror>(address);
        Open(channel, label);
        for (int i = 0; i < options.Get("calls", 4); i++)
        {
            BeforeCall(i);
            string text = Shown(i);
            Message message = Message.CreateMessage(MessageVersion.Soap12WSAddressing10, IMirrorCallback.Action, text);
            Report.Check($"{label} streamed mirror of {text.Length} characters", true, () => channel.Show(message).GetBody<string>() == text);
        }
        Step();
        Close(channel, label);
    }

    /// <summary>Short texts and, if `--bytes` says so, longer ones in turns.</summary>
    string Shown(int call) => call % 2 == 0 ? $"h\u00e9llo {call}" : new string('\u20ac', options.Get("bytes", 100)) + call;

    void BeforeCall(int call)
    {
        if (call > 0) Thread.Sleep(options.Get("pause", 0));
        Step();
    }

    void Step()
    {
        if (options.Has("step")) Console.ReadLine();
    }

    void Open(object channel, string label)
    {
        Report.Say($"open {label}", ((IClientChannel)channel).Open);
        Together?.SignalAndWait();
    }

    void Close(object channel, string label)
    {
        Thread.Sleep(options.Get("hold", 0));
        if (options.Has("abort")) Report.Say($"abort {label}", ((IClientChannel)channel).Abort);
        else if (!options.Has("noclose")) Report.Say($"close {label}", ((IClientChannel)channel).Close);
    }

    static byte[] Pattern(int length)
    {
        byte[] octets = new byte[length];
        for (int i = 0; i < length; i++) octets[i] = (byte)(i % 251);
        return octets;
    }

    /// <summary>How many octets of the pattern came; -1 if they are others.</summary>
    static long Matching(Stream stream)
    {
        using Stream whole = stream;
        using MemoryStream copy = new();
        whole.CopyTo(copy);
        byte[] octets = copy.ToArray();
        return octets.AsSpan().SequenceEqual(Pattern(octets.Length)) ? octets.Length : -1;
    }
}

[CallbackBehavior(ConcurrencyMode = ConcurrencyMode.Multiple, UseSynchronizationContext = false)]
sealed class Callback(TimeSpan patience) : Calls(patience), ICalculatorDuplexCallback
{
    void ICalculatorDuplexCallback.Equals(double result) => Add($"Equals({Report.Text(result)})");
    void ICalculatorDuplexCallback.Equation(string equation) => Add($"Equation({equation})");
}

[CallbackBehavior(ConcurrencyMode = ConcurrencyMode.Multiple, UseSynchronizationContext = false)]
sealed class Reflection(TimeSpan patience) : Calls(patience), IMirrorCallback
{
    void IMirrorCallback.Show(string text) => Add(text);
}

[CallbackBehavior(ConcurrencyMode = ConcurrencyMode.Multiple, UseSynchronizationContext = false)]
sealed class Asked(TimeSpan patience) : Calls(patience), IAsked
{
    string IAsked.Ask(string text)
    {
        Add($"Ask({text})");
        return text;
    }

    public void End() => Add("end");
}

/// <summary>Calls that the service makes, in their order.</summary>
abstract class Calls(TimeSpan patience)
{
    readonly BlockingCollection<string> came = [];

    protected void Add(string call) => came.Add(call);

    public string Next() => came.TryTake(out string? call, patience) ? call : "no callback";
}
