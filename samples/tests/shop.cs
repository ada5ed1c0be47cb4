// A shop as a WCF program, service or client, for what the calculator has not: headers of the application, typed faults, one-way
// operations, operations that nobody has, texts over a quota.
//
//   shop.exe service BINDING ADDRESS     prints "ready"; ends when its standard input does
//   shop.exe client  BINDING ADDRESS     prints a line for each call: what came back, or which exception
//
// BINDING: text = SOAP 1.2 as UTF-8 text; net-tcp = NetTcpBinding without security, binary in a session.

using System;
using System.Globalization;
using System.Runtime.Serialization;
using System.ServiceModel;
using System.ServiceModel.Channels;
using System.Text;
using System.Threading;

[ServiceContract(Namespace = Own.Namespace)]
public interface IShop
{
    [OperationContract, FaultContract(typeof(OutOfStock))] int Order(int copies);
    [OperationContract] void Note(string text);
    [OperationContract(IsOneWay = true)] void Tell(string text);
}

// The shop as somebody believes it to be.
[ServiceContract(Namespace = Own.Namespace, Name = "IShop")]
public interface IUnknown
{
    [OperationContract] int Return(int copies);
}

public static class Own { public const string Namespace = "http://interop.example/2024"; }

[DataContract(Namespace = Own.Namespace)]
public sealed class OutOfStock
{
    [DataMember] public int Left;
}

public class Shop : IShop
{
    public int Order(int copies)
    {
        if (copies > 7) throw new FaultException<OutOfStock>(new OutOfStock { Left = 7 }, "out of stock");
        OperationContext context = OperationContext.Current;
        if (context.IncomingMessageHeaders.FindHeader("Tenant", Own.Namespace) >= 0)
        {
            string tenant = context.IncomingMessageHeaders.GetHeader<string>("Tenant", Own.Namespace);
            context.OutgoingMessageHeaders.Add(MessageHeader.CreateHeader("Served", Own.Namespace, tenant));
        }
        return copies;
    }

    public void Note(string text) { }
    public void Tell(string text) { throw new InvalidOperationException("which nobody says"); }
}

public static class Program
{
    public static int Main(string[] args)
    {
        CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
        Thread.CurrentThread.CurrentCulture = CultureInfo.InvariantCulture;
        Binding binding = args[1] == "net-tcp"
            ? (Binding)new NetTcpBinding(SecurityMode.None)
            : new CustomBinding(
                new TextMessageEncodingBindingElement(MessageVersion.Soap12WSAddressing10, Encoding.UTF8),
                new TcpTransportBindingElement());
        if (args[0] == "service") Serve(binding, args[2]);
        // A client that gets no answer waits for ever.
        new Timer(_ => { Console.WriteLine("deadline"); Environment.Exit(3); }, null, 20000, Timeout.Infinite);
        Call(binding, new EndpointAddress(args[2]));
        Environment.Exit(0);
        return 0;
    }

    static void Serve(Binding binding, string address)
    {
        var host = new ServiceHost(typeof(Shop));
        host.AddServiceEndpoint(typeof(IShop), binding, new Uri(address));
        host.Open();
        Console.WriteLine("ready");
        Console.In.ReadToEnd();
        Environment.Exit(0);
    }

    static void Call(Binding binding, EndpointAddress address)
    {
        IShop shop = new ChannelFactory<IShop>(binding, address).CreateChannel();
        using (new OperationContextScope((IContextChannel)shop))
        {
            OperationContext context = OperationContext.Current;
            Say("Order(2)", () => shop.Order(2));
            context.OutgoingMessageHeaders.Add(MessageHeader.CreateHeader("Tenant", Own.Namespace, "blue", true));
            Say("Order(3)", () => shop.Order(3));
            Say("Order(8)", () => shop.Order(8));
            Say("Note(long)", () => { shop.Note(new string('x', 9000)); return "void"; });
            Say("Tell", () => { shop.Tell("it fails"); return "void"; });
            Say("Order(4)", () => shop.Order(4));
            context.OutgoingMessageHeaders.Add(MessageHeader.CreateHeader("Unknown", Own.Namespace, 1, true));
            Say("Order(5)", () => shop.Order(5));
        }
        IUnknown unknown = new ChannelFactory<IUnknown>(binding, address).CreateChannel();
        Say("Return(6)", () => unknown.Return(6));
        Say("Return(7)", () => unknown.Return(7));
    }

    static void Say(string what, Func<object> call)
    {
        string answer;
        try { answer = Convert.ToString(call()); }
        catch (FaultException<OutOfStock> fault) { answer = "out of stock but for " + fault.Detail.Left; }
        catch (FaultException fault)
        {
            FaultCode code = fault.Code;
            answer = "fault " + code.Name + (code.SubCode == null ? "" : " " + code.SubCode.Name);
        }
        catch (Exception exception) { answer = exception.GetType().Name + ": " + exception.Message; }
        Console.WriteLine("{0} = {1}", what, answer.Replace("\n", " "));
    }
}
