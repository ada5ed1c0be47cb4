// WCF services that know nothing of port sharing, and their clients.
//
//   orders.exe service KIND NAME ADDRESS    prints "ready", or the exception of Open; ends when its standard input does
//   orders.exe client KIND ADDRESS          prints what the service answered, or the exception and status 1
//
// KIND: buffered, streamed or callback, each with the default NetTcpBinding but for the transfer mode.

using System;
using System.IO;
using System.Net.Sockets;
using System.ServiceModel;
using System.Threading;
using System.Xml;

[ServiceContract]
public interface IOrders
{
    [OperationContract] string Order(string what, int count);
}

[ServiceContract]
public interface IDocuments
{
    [OperationContract] Stream Fetch(int octets);
}

public interface IProgress
{
    [OperationContract(IsOneWay = true)] void Done(string what);
}

[ServiceContract(CallbackContract = typeof(IProgress))]
public interface IWork
{
    [OperationContract(IsOneWay = true)] void Begin(string what);
}

public class Service : IOrders, IDocuments, IWork
{
    public static string Name;

    public string Order(string what, int count) { return Name + ": " + count + " " + what; }

    public Stream Fetch(int octets)
    {
        var content = new byte[octets];
        for (int i = 0; i < octets; i++) content[i] = (byte)(i % 251);
        return new MemoryStream(content);
    }

    public void Begin(string what) { OperationContext.Current.GetCallbackChannel<IProgress>().Done(Name + " did " + what); }
}

public class Progress : IProgress
{
    public readonly ManualResetEvent Came = new ManualResetEvent(false);
    public string What;

    public void Done(string what)
    {
        What = what;
        Came.Set();
    }
}

public static class Program
{
    public static int Main(string[] args)
    {
        try
        {
            if (args[0] == "service") Serve(args[1], args[2], args[3]);
            else Call(args[1], args[2]);
            Console.Out.Flush();
            Environment.Exit(0); // closing a callback channel waits for ever in Mono
            return 0;
        }
        catch (Exception e)
        {
            var socket = e as SocketException;
            string code = socket == null ? "" : " " + socket.SocketErrorCode;
            Console.WriteLine(e.GetType().Name + code + ": " + e.Message.Split('\n')[0]);
            Console.Out.Flush();
            Environment.Exit(1);
            return 1;
        }
    }

    static NetTcpBinding NewBinding(string kind)
    {
        var binding = new NetTcpBinding();
        if (kind == "streamed")
        {
            binding.TransferMode = TransferMode.Streamed;
            binding.ReaderQuotas = XmlDictionaryReaderQuotas.Max;
            binding.MaxReceivedMessageSize = 1000000;
        }
        return binding;
    }

    static void Serve(string kind, string name, string address)
    {
        Service.Name = name;
        var host = new ServiceHost(typeof(Service));
        Type contract = kind == "buffered" ? typeof(IOrders) : kind == "streamed" ? typeof(IDocuments) : typeof(IWork);
        host.AddServiceEndpoint(contract, NewBinding(kind), address);
        host.Open();
        Console.WriteLine("ready");
        Console.In.ReadToEnd();
    }

    static void Call(string kind, string address)
    {
        new Timer(_ => { Console.WriteLine("deadline"); Environment.Exit(3); }, null, 30000, Timeout.Infinite);
        var binding = NewBinding(kind);
        var endpoint = new EndpointAddress(address);
        switch (kind)
        {
            case "buffered":
                IOrders orders = new ChannelFactory<IOrders>(binding, endpoint).CreateChannel();
                Console.WriteLine(orders.Order("apples", 3));
                Console.WriteLine(orders.Order("pears", 4));
                break;
            case "streamed":
                IDocuments documents = new ChannelFactory<IDocuments>(binding, endpoint).CreateChannel();
                using (Stream stream = documents.Fetch(200000))
                {
                    int read, sum = 0, octet;
                    for (read = 0; (octet = stream.ReadByte()) >= 0; read++) sum += octet == read % 251 ? 1 : 0;
                    Console.WriteLine(read + " octets, " + sum + " right");
                }
                break;
            default:
                var progress = new Progress();
                IWork work = new DuplexChannelFactory<IWork>(new InstanceContext(progress), binding, endpoint).CreateChannel();
                work.Begin("it");
                progress.Came.WaitOne();
                Console.WriteLine(progress.What);
                break;
        }
    }
}
