using System.Diagnostics;
using System.Globalization;

namespace Peers;

/// <summary>What the client prints, a line for each thing that happens.</summary>
static class Report
{
    static readonly Stopwatch clock = Stopwatch.StartNew();
    static int wrong;

    /// <summary>Lines begin with milliseconds, and what took time says how long.</summary>
    public static bool Times;
    /// <summary>Exceptions are printed whole.</summary>
    public static bool Stack;

    public static bool AllRight => wrong == 0;

    public static void Say(string line)
    {
        lock (clock) Console.WriteLine(Times ? $"{clock.ElapsedMilliseconds,6} {line}" : line);
    }

    /// <summary>Does it, and says so.</summary>
    public static void Say(string line, Action act)
    {
        string took = Timed(act);
        Say(line + took);
    }

    public static void Check<T>(string what, T wanted, Func<T> ask)
    {
        T answer = default!;
        string took = Timed(() => answer = ask());
        bool right = EqualityComparer<T>.Default.Equals(wanted, answer);
        if (!right) Wrong();
        Say(right ? $"ok {what} = {Text(answer)}{took}" : $"WRONG {what} = {Text(answer)} (want {Text(wanted)}){took}");
    }

    public static void Wrong() => Interlocked.Increment(ref wrong);

    public static void Exception(string where, Exception e)
    {
        Say($"EXCEPTION {where}: {Line(e)}");
        for (Exception? inner = e.InnerException; inner != null; inner = inner.InnerException) Say($"  inner {Line(inner)}");
        if (Stack) Console.WriteLine(e);
    }

    public static string Text(object? value) => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";

    static string Line(Exception e) => $"{e.GetType().FullName}: {e.Message.ReplaceLineEndings(" / ")}";

    static string Timed(Action act)
    {
        long began = Stopwatch.GetTimestamp();
        act();
        double took = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        return Times ? string.Create(CultureInfo.InvariantCulture, $"  [{took:F1} ms]") : "";
    }
}
